"""Training epochs of Millstream against those of a loop by hand with the same network, optimizer and batch size.

    MILLSTREAM_MIRROR=... python -m benchmarks.training.epoch [--rounds N] [--threads N] [--set a.b=v] [RECIPE ...]

The two take turns, epoch by epoch, in one process; figures are medians of CPU seconds, and the ratio is the median over
the rounds. `millstream` is a whole training epoch, from the first batch to the last step with all that goes along:
feed, draws, schedule, clipping, metrics, records, a checkpoint. The loop by hand has the split in memory as tensors,
permutes it, gathers, steps, and nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections import defaultdict
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
from millstream.training.memory import keep_freed_memory

RECIPES = ("mlp/adult", "cnn/lenet-mnist", "cnn/lenet-digits")
WARM_UP = 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", default=RECIPES)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], dest="sets")
    parser.add_argument("--home", type=Path, help="where datasets are prepared and kept; default: a temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        for recipe in options.recipes:
            sets = [f"fit.threads={options.threads}", *options.sets]
            spent = measured(recipe, options.rounds, options.home or Path(home), sets)
            print(json.dumps({"recipe": recipe, **summary(spent)}), flush=True)


def summary(spent: dict[str, list[float]]) -> dict[str, Any]:
    """Median CPU seconds of an epoch of each kind, and the median and the range of the ratios of ours."""
    ratios = [ours / hand for ours, hand in zip(spent["millstream"], spent["by hand"], strict=True)]
    low, _, high = statistics.quantiles(ratios, n=4)
    seconds = {kind: round(statistics.median(values), 4) for kind, values in spent.items()}
    return {**seconds, "ratio": round(statistics.median(ratios), 3), "quartiles": [round(low, 3), round(high, 3)]}


def measured(recipe: str, rounds: int, home: Path, sets: list[str]) -> dict[str, list[float]]:
    """CPU seconds of each epoch, by kind."""
    epochs = rounds + WARM_UP
    located = load(recipe, sets=[*sets, f"fit.epochs={epochs}", f"fit.validate_every={epochs}"])
    settings = Settings.read({**os.environ, "MILLSTREAM_HOME": str(home)})
    dataset = Dataset.open(prepare(located, settings, say=lambda message: None).path, settings.store)
    keep_freed_memory()  # as a training does; the loop by hand has it, too
    with Run.start(settings, located) as run:
        job = Job.of(located, run, dataset)
        turns = Turns(job)
        fitting = trainer.fitting(job, History())
        fitting.callbacks.append(turns)  # type: ignore[attr-defined]
        fitting.fit(job.task, datamodule=job.source)
    return {kind: spent[WARM_UP:rounds] for kind, spent in turns.spent.items()}  # the last epoch ends with a validation


class Turns(lightning.Callback):
    """CPU seconds of each epoch of the Trainer, and of one by hand after it."""

    def __init__(self, job: Job) -> None:
        self.spent: dict[str, list[float]] = defaultdict(list)
        self.epoch = epoch_by_hand(job)
        self.began = 0.0

    def on_train_epoch_start(self, fitting: lightning.Trainer, task: Any) -> None:
        self.began = time.process_time()

    def on_train_epoch_end(self, fitting: lightning.Trainer, task: Any) -> None:
        self.spent["millstream"].append(time.process_time() - self.began)
        began = time.process_time()
        self.epoch()
        self.spent["by hand"].append(time.process_time() - began)


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
