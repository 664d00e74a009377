"""Epochs of our training against those of a loop by hand with the same network, optimizer and batch size.

    MILLSTREAM_MIRROR=... python -m benchmarks.training.epoch [--epochs N] [RECIPE ...]

The two take turns, epoch by epoch, in one process; figures are medians. Ours is a whole training epoch, from the first
batch to the last step with all that goes along: feed, draws, schedule, clipping, metrics, records, a checkpoint. The
loop by hand has the split in memory as tensors, permutes it, gathers, steps, and nothing else.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import torch

from millstream.pipelines.prepare import prepare
from millstream.tracking.dataset.version import Dataset
from millstream.tracking.recipe.loader import load
from millstream.tracking.runs.run import Run
from millstream.tracking.settings import Settings
from millstream.training.callbacks.run_logger import History
from millstream.training.feed.batch import Batch
from millstream.training.loop import trainer
from millstream.training.loop.job import Job

RECIPES = ("mlp/adult", "cnn/lenet-mnist", "rnn/gru-names")
WARM_UP = 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", default=RECIPES)
    parser.add_argument("--epochs", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        for recipe in options.recipes:
            ours, by_hand = measured(recipe, options.epochs, Path(home))
            ratio = ours / by_hand
            print(f"{recipe}: ours {ours:.3f} s, by hand {by_hand:.3f} s an epoch, {ratio:.3f} of it", flush=True)


def measured(recipe: str, epochs: int, home: Path) -> tuple[float, float]:
    """Median seconds of an epoch, ours and by hand."""
    located = load(recipe, sets=[f"fit.epochs={epochs + WARM_UP}", f"fit.validate_every={epochs + WARM_UP}"])
    settings = Settings.read({**os.environ, "MILLSTREAM_HOME": str(home)})
    dataset = Dataset.open(prepare(located, settings, say=lambda message: None).path, settings.store)
    with Run.start(settings, located) as run:
        job = Job.of(located, run, dataset)
        turns = Turns(job)
        fitting = trainer.fitting(job, History())
        fitting.callbacks.append(turns)  # type: ignore[attr-defined]
        fitting.fit(job.task, datamodule=job.source)
    return statistics.median(turns.ours[WARM_UP:]), statistics.median(turns.by_hand[WARM_UP:])


class Turns(lightning.Callback):
    """Times each epoch of the Trainer, and after it one by hand."""

    def __init__(self, job: Job) -> None:
        self.ours: list[float] = []
        self.by_hand: list[float] = []
        self.epoch = epoch_by_hand(job)
        self.began = 0.0

    def on_train_epoch_start(self, fitting: lightning.Trainer, task: Any) -> None:
        self.began = time.perf_counter()

    def on_train_epoch_end(self, fitting: lightning.Trainer, task: Any) -> None:
        self.ours.append(time.perf_counter() - self.began)
        began = time.perf_counter()
        self.epoch()
        self.by_hand.append(time.perf_counter() - began)


def epoch_by_hand(job: Job) -> Callable[[], None]:
    """An epoch of a task of its own, whose loss is the recipe's, over tensors in memory."""
    task = job.parts.build(job.source.signature)
    task.train()
    optimizer = job.fit.optimizer.build(task.network.parameters())
    whole = gathered(job)
    size = job.fit.batch_size

    def epoch() -> None:
        order = torch.randperm(whole.real)
        for start in range(0, whole.real, size):
            rows = order[start : start + size]
            batch = whole.map(lambda one, rows=rows: one[rows])._replace(real=len(rows))
            optimizer.zero_grad()
            task.rows(batch)[0].mean().backward()
            if job.fit.clip:
                torch.nn.utils.clip_grad_norm_(task.network.parameters(), job.fit.clip)
            optimizer.step()

    return epoch


def gathered(job: Job) -> Batch:
    """The train split as one batch in memory, in the order of one pass; lists as wide as the longest."""
    return job.rows.loader("train").whole()


if __name__ == "__main__":
    main()
