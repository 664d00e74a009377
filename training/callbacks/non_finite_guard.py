"""Stops training at a non-finite loss or gradient, or skips such batches."""

from __future__ import annotations

import sys
from typing import Any, Literal

import pytorch_lightning as lightning

from millstream.tracking.errors import Fault, TrainingFailed
from millstream.training.feed.batch import Batch

SHOWN = 10
FREE_SKIPS, LARGEST_SHARE = 10, 0.01


class Guard(lightning.Callback):
    """Raises TrainingFailed, naming the batch and its samples, when a step was not taken.

    With `skip` it warns and continues, and `train/skipped` counts such steps; it still raises when they exceed ten plus
    1 % of all steps so far. It precedes the checkpoints in the list of callbacks, so that the last good one is kept.
    """

    def __init__(self, policy: Literal["stop", "skip"]) -> None:
        self.policy = policy
        self.steps, self.skipped = 0, 0

    def on_train_batch_end(self, trainer: lightning.Trainer, task: Any, outputs: Any, batch: Any, index: int) -> None:
        self.steps += 1
        if not task.untaken:
            return
        step, count = task.untaken[0], len(task.untaken)
        task.untaken.clear()
        message = f"the loss is {float(step.loss):.4g} and its gradient's norm {float(step.norm):.4g}"
        fault = Fault(
            where=f"epoch {trainer.current_epoch}, batch {index}", message=f"{message}{_samples(trainer, batch)}"
        )
        advice = "lower fit.optimizer.lr, set fit.clip, or look at these samples; the last good checkpoint is kept"
        if self.policy == "stop":
            raise TrainingFailed.at(fault.where, f"{fault.message}; {advice}, and --set fit.nan=skip resumes it")
        self.skipped += count
        if self.skipped > FREE_SKIPS + LARGEST_SHARE * self.steps:
            many = f"{self.skipped} of {self.steps} steps were not finite, too many to be skipped"
            raise TrainingFailed.at(fault.where, f"{fault.message}: {many}; {advice}")
        sys.stderr.write(f"{fault}; skipped, {self.skipped} so far\n")
        self._count(trainer)

    def on_train_end(self, trainer: lightning.Trainer, task: Any) -> None:
        if self.policy == "skip":
            self._count(trainer)

    def state_dict(self) -> dict[str, int]:
        return {"steps": self.steps, "skipped": self.skipped}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.steps, self.skipped = state["steps"], state["skipped"]

    def _count(self, trainer: lightning.Trainer) -> None:
        if trainer.logger is not None:
            trainer.logger.log_metrics({"train/skipped": float(self.skipped)}, step=trainer.global_step)


def _samples(trainer: lightning.Trainer, batch: Any) -> str:
    feed = trainer.train_dataloader
    if not isinstance(batch, Batch) or feed is None:
        return ""
    ids = feed.sample_ids(batch.epoch, batch.index)
    more = f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
    return f" on samples {', '.join(ids[:SHOWN])}{more}"
