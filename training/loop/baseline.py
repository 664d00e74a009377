"""What a model must beat to have learned anything: a constant, or the last value, measured on the test split."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import BaseModel

from millstream.tracking.dataset.records import Column
from millstream.tracking.dataset.version import Dataset
from millstream.tracking.dataset.windows import Windows
from millstream.training.feed.read.columns import dense
from millstream.training.loop.job import Job
from millstream.training.tensors import as_numpy


class Baseline(BaseModel, frozen=True):
    name: str
    metrics: dict[str, float]
    """On the test split, by the names of the task's metrics."""


def baseline(job: Job) -> Baseline | None:
    """The most frequent class of train, its mean, or in a window the last value; None for a task without one of them.

    Classes are counted as they were before a rebalance.
    """
    manifest, target = job.source.manifest, job.source.signature.target
    if manifest is None or target is None or "test" not in manifest.splits:
        return None
    names = job.task.metrics()
    if job.source.signature.classes and "accuracy" in names:
        return _majority(job)
    if "rmse" not in names:
        return None
    if Windows.of(manifest.steps):
        return _last_value(job)
    column, dataset = target.columns[0], job.rows.dataset
    train = np.concatenate(list(_values(dataset, "train", column)))
    if column.layout == "list" or column.dtype == "string":
        return None
    errors = [values - train.mean(axis=0) for values in _values(dataset, "test", column)]
    return _of_errors("mean of train", np.concatenate(errors))


def _majority(job: Job) -> Baseline | None:
    signature, splits = job.source.signature, job.rows.dataset.manifest.splits
    train, test = splits["train"].class_counts, splits["test"].class_counts
    if set(train) != set(signature.classes) or not sum(test.values()):
        return None  # soft labels are not counted
    given = signature.shares.given if signature.shares else [train[name] for name in signature.classes]
    name = signature.classes[int(np.argmax(given))]
    accuracy = test.get(name, 0) / sum(test.values())
    return Baseline(name=f"most frequent class of train ({name})", metrics={"accuracy": accuracy})


def _last_value(job: Job) -> Baseline | None:
    raw = getattr(job.task, "raw", None)  # of tasks that predict numbers: to the target's unit
    if raw is None or len(job.task.signature.inputs) != 1:
        return None
    errors = []
    for batch in job.source.in_order("test"):
        present = batch.present()
        last, true = present.arguments[0][:, -1:], present.truth
        if last.shape[2:] != true.shape[2:]:
            return None
        errors.append(as_numpy(raw(last.double()) - raw(true.double())))
    return _of_errors("last value", np.concatenate(errors))


def _of_errors(name: str, errors: NDArray[Any]) -> Baseline:
    squared = float(np.square(errors).mean())
    return Baseline(name=name, metrics={"rmse": squared**0.5, "mae": float(np.abs(errors).mean()), "mse": squared})


def _values(dataset: Dataset, split: str, column: Column) -> Iterator[NDArray[np.float64]]:
    """The stored values of a column, in raw units, shard by shard."""
    for shard in dataset.shards(split):
        path = dataset.verified(shard)
        found = dense(column, pq.read_table(path, columns=[column.name])[column.name], path)
        dataset.release(shard)
        if isinstance(found, np.ndarray):
            yield found.astype(np.float64)
