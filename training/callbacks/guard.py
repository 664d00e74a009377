"""Stops training before a loss that is not a number costs the run."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as lightning
import torch

from tracking.faults import TrainingFailed
from training.feed.batch import Batch

SHOWN = 10


class Guard(lightning.Callback):
    """Raises TrainingFailed, naming the batch and its samples, when a step's loss is NaN or infinite.

    It stands before the checkpoints in the list of callbacks, so that the last good one is kept.
    """

    def on_train_batch_end(self, trainer: lightning.Trainer, task: Any, outputs: Any, batch: Any, index: int) -> None:
        # a task with its own way to step returns nothing; what it logged tells
        told = outputs.get("loss") if isinstance(outputs, dict) else None
        loss = told if told is not None else trainer.callback_metrics.get("train/loss")
        if loss is None or bool(torch.isfinite(loss).all()):
            return
        where = f"epoch {trainer.current_epoch}, batch {index}"
        raise TrainingFailed.at(
            where,
            f"the loss is {float(loss)}{_samples(trainer, batch)}; lower fit.optimizer.lr, set fit.clip, or look at "
            "these samples; the last good checkpoint is kept",
        )


def _samples(trainer: lightning.Trainer, batch: Any) -> str:
    feed = trainer.train_dataloader
    if not isinstance(batch, Batch) or feed is None:
        return ""
    ids = feed.sample_ids(batch.epoch, batch.index)
    more = f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
    return f" on samples {', '.join(ids[:SHOWN])}{more}"
