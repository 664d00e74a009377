"""A dataset version as a model reads it that was trained on another one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from millstream.tracking.dataset.manifest import LINEAGE, Manifest, Shard
from millstream.tracking.dataset.records import Column
from millstream.tracking.dataset.signature import Signature
from millstream.tracking.dataset.version import Dataset, sha256_of
from millstream.tracking.errors import BadData, Fault
from millstream.tracking.serving.other_preparation import is_same, reprepared

_OF_KIND = ("dtype", "layout", "shape", "classes", "vocabulary")
"""What a column must share with that of a model; the model brings its affine map."""


@contextmanager
def read_by(trained_on: Manifest, signature: Signature, dataset: Dataset, split: str) -> Iterator[Dataset]:
    """The split of `dataset` with the inputs that the preparation of `trained_on` makes of its rows.

    The same dataset if both prepare them alike, else a copy in a temporary folder. Raises BadData for columns that
    differ, and for a preparation that cannot be restored exactly.
    """
    targets = [column for field in signature.targets for column in field.columns]
    BadData.unless_empty(_faults(targets, dataset.manifest))
    if is_same(dataset.manifest, trained_on):
        BadData.unless_empty(_faults([one for field in signature.inputs for one in field.columns], dataset.manifest))
        yield dataset
        return
    with TemporaryDirectory(prefix="millstream-version-") as folder:
        yield _copied(trained_on, signature, dataset, split, Path(folder))


def _faults(columns: list[Column], manifest: Manifest) -> list[Fault]:
    held = {column.name: column for column in manifest.columns}
    return [
        Fault(where=f"column {column.name!r}", message=f"the model reads it as {expected}, the version has {found}")
        for column in columns
        if (expected := _kind(column)) != (found := _kind(held[column.name]) if column.name in held else "none")
    ]


def _kind(column: Column) -> str:
    facts = column.model_dump(include=set(_OF_KIND))
    return ", ".join(f"{name} {facts[name]}" for name in _OF_KIND if facts[name])


def _copied(trained_on: Manifest, signature: Signature, dataset: Dataset, split: str, folder: Path) -> Dataset:
    fields = (*signature.inputs, *signature.targets)
    weights = [column for column in dataset.manifest.columns if column.role == "weight"]
    columns = list({column.name: column for field in fields for column in field.columns}.values()) + weights
    stored = [*LINEAGE, *(column.name for column in dataset.manifest.columns)]
    shards = []
    for at, shard in enumerate(dataset.shards(split)):
        rows = pq.read_table(dataset.verified(shard), columns=stored).to_pandas()
        dataset.release(shard)
        shards.append(_written(reprepared(rows, dataset.manifest, trained_on), columns, folder, f"split={split}", at))
    facts = dataset.manifest.splits[split].model_copy(update={"shards": tuple(shards)})
    manifest = trained_on.model_copy(update={"version": dataset.manifest.version, "splits": {split: facts}})
    return Dataset(folder, manifest)


def _written(frame: pd.DataFrame, columns: list[Column], folder: Path, under: str, at: int) -> Shard:
    missing = [column.name for column in columns if column.name not in frame]
    if missing:
        raise BadData.at("input", f"columns {missing} are missing; the version has {list(frame)}")
    lineage = {name: pa.array(frame[name], pa.string()) for name in LINEAGE}
    path = folder / under / f"part-{at:05d}.parquet"
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table(lineage | {one.name: _column(frame[one.name], one) for one in columns}), path)
    file, size = path.relative_to(folder).as_posix(), path.stat().st_size
    return Shard(file=file, rows=len(frame), bytes=size, sha256=sha256_of(path), row_groups=1)


def _column(values: pd.Series, column: Column) -> pa.Array:
    if column.layout == "tensor":
        return pa.array(values, pa.binary())
    kind = pa.string() if column.dtype == "string" else pa.from_numpy_dtype(np.dtype(column.dtype))
    return pa.array(values, pa.list_(kind) if column.layout == "list" else kind)
