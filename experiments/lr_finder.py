"""Learning-rate range test and batch-size finder: a few steps whose weights are discarded."""

from __future__ import annotations

import math
import resource
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal

import psutil
import torch
from pydantic import BaseModel

from millstream.tracking.dataset.version import Dataset
from millstream.tracking.errors import TrainingFailed, WrongRecipe
from millstream.tracking.figures.rate_range import rate_range
from millstream.tracking.recipe.schema import Located
from millstream.tracking.runs.run import Run
from millstream.training.callbacks.lr_range_test import RateRange
from millstream.training.estimator_module import EstimatorModule
from millstream.training.loop.job import Job
from millstream.training.loop.trainer import trainer
from millstream.training.memory import is_out_of_memory

What = Literal["lr", "batch_size"]
SHARE_OF_BEST = 0.1
MEMORY_SHARE = 0.5
"""Share of the host's free memory that a batch may use; a GPU is filled until it is out of memory."""
MIB = 1 << 20


class Found(BaseModel, frozen=True):
    """`tried` holds (learning rate, smoothed loss) or (batch size, MiB used)."""

    run_id: str
    field: str
    value: float
    tried: list[tuple[float, float]]
    about: str


def find(what: What, located: Located, run: Run, dataset: Dataset | None) -> Found:
    """A value for `fit.optimizer.lr` or `fit.batch_size`, with the values tried; logs a figure of the rates.

    Deterministic for `lr`: the same recipe, dataset and seed find the same rate. Raises WrongRecipe without batches to
    try it on, and TrainingFailed when no value works.
    """
    job = Job.of(located, run, dataset, test=False)
    if dataset is None or isinstance(job.task.network, EstimatorModule):
        raise WrongRecipe.at(f"--find {what}", f"{located.name} takes no steps over batches of a dataset")
    run.tag(find=what)
    return _rate(job) if what == "lr" else _batch_size(job, dataset)


def _rate(job: Job) -> Found:
    if not job.task.steps_by_rows:
        raise WrongRecipe.at("--find lr", f"{job.located.section('task')['name']} has no single loss that should fall")
    seen = RateRange()
    trainer(job.fit, [seen], max_epochs=-1, **_bare(job)).fit(job.task, datamodule=job.source)
    value = below_the_best(seen.course)
    job.run.figure("rate_range", rate_range(seen.course, value))
    about = "a tenth of the rate at which the loss was lowest"
    return Found(run_id=job.run.id, field="fit.optimizer.lr", value=value, tried=seen.course, about=about)


def below_the_best(course: Sequence[tuple[float, float]]) -> float:
    """A tenth, to two digits, of the rate at which the loss of a course (rate, loss) is lowest.

    At the minimum the loss is about to rise, and a smoothed loss lags. Raises TrainingFailed when it never fell.
    """
    rate, lowest = min(course, key=lambda point: point[1], default=(0.0, math.inf))
    if not course or lowest >= course[0][1]:
        raise TrainingFailed.at("--find lr", "no rate lowers the loss; look at the network and the data first")
    return float(f"{rate * SHARE_OF_BEST:.1e}")


def _batch_size(job: Job, dataset: Dataset) -> Found:
    """The largest size that fits into memory, doubling from the smallest possible."""
    tried: list[tuple[float, float]] = []
    before, bound = _taken(), _bound()
    for size in _sizes(job, dataset):
        parts = replace(job.parts, fit=job.fit.model_copy(update={"batch_size": size}))
        again = Job.of(job.located, job.run, dataset, parts, test=False)
        # two batches: at the second one the optimizer state is allocated
        steps = trainer(again.fit, max_epochs=1, limit_train_batches=2, **_bare(again))
        try:
            steps.fit(again.task, datamodule=again.source)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            break
        taken = _taken() - before
        tried.append((size, taken / MIB))
        if 2 * taken > bound:
            break
    if not tried:
        raise TrainingFailed.at("--find batch_size", "not even the smallest batch fits; take a smaller network")
    largest, mib = tried[-1]
    about = f"the largest that was tried and fits, with {mib:.0f} MiB"
    return Found(run_id=job.run.id, field="fit.batch_size", value=largest, tried=tried, about=about)


def _sizes(job: Job, dataset: Dataset) -> Iterator[int]:
    """Sizes doubling up to the rows of the train split; each is divisible by the lanes and the micro-batches."""
    size = math.lcm(job.fit.lanes or 1, job.fit.accumulate)
    yield size
    while (size := 2 * size) <= dataset.manifest.splits["train"].rows:
        yield size


def _bare(job: Job) -> dict[str, Any]:
    """Options of a Trainer without validation, logging or checkpoints."""
    return {"limit_val_batches": 0, "logger": False, "enable_checkpointing": False, "default_root_dir": str(job.folder)}


def _taken() -> int:
    """Peak memory of this process in bytes, on the GPU if there is one."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def _bound() -> float:
    """Bytes beyond which no larger batch is tried; a GPU raises when it is out of memory."""
    return math.inf if torch.cuda.is_available() else MEMORY_SHARE * psutil.virtual_memory().available
