"""Dataset versions made on the spot, as `millstream prepare` would publish them, without Spark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from millstream.pipelines.publish.compression import compression
from millstream.tracking.dataset import manifest as contract
from millstream.tracking.dataset.manifest import Manifest, Shard, Source, Split
from millstream.tracking.dataset.records import Column
from millstream.tracking.dataset.version import Dataset, sha256_of
from millstream.tracking.verification.content_digest import MODULUS, hexadecimal, rows_digest

Values = Mapping[str, Any]


def make_dataset(
    folder: Path,
    splits: Mapping[str, Values],
    columns: Sequence[Column],
    *,
    shard_rows: int | Sequence[int] = 50,
    name: str = "made",
    **facts: Any,
) -> Dataset:
    """The dataset version `<folder>/<name>/v1` with the given rows, cut into shards in their order.

    `splits` are {split: {column: values}}, values with the rows as their first axis (lists of arrays for layout
    `list`). `shard_rows` are the rows of every shard, or of each one. The sample ids are `<split>-<row>`, unless the
    values have a `sample_id`, `parent_id` or `op`. `facts` are members of the manifest.
    """
    version = folder / name / "v1"
    described = {split: write_split(version, split, values, columns, shard_rows) for split, values in splits.items()}
    default = {
        "source": Source(name="made", config={}, licence="none", origin="made in a test", files=()),
        "created": "2026-01-01T00:00:00Z",
        "seed": 0,
        "steps": (),
        "checks": (),
        "quarantine": {},
    }
    manifest = Manifest(name=name, version="v1", columns=tuple(columns), splits=described, **{**default, **facts})
    (version / contract.FILE).write_text(manifest.text(), encoding="utf-8")
    return Dataset.open(version, folder)


def write_split(
    version: Path, split: str, values: Values, columns: Sequence[Column], shard_rows: int | Sequence[int]
) -> Split:
    """Write the shards of one split and return their records."""
    target = version / f"split={split}"
    target.mkdir(parents=True)
    table = as_table(split, values, columns)
    sizes = [shard_rows] * -(-table.num_rows // shard_rows) if isinstance(shard_rows, int) else list(shard_rows)
    starts = np.cumsum([0, *sizes])
    shards, digest = [], 0
    for at, (start, size) in enumerate(zip(starts.tolist(), sizes, strict=False)):
        path = target / f"part-{at:05d}.parquet"
        rows = table.slice(start, size)
        pq.write_table(rows, path, compression=compression(rows), use_dictionary=False)
        shards.append(describe(path, version))
        digest += rows_digest(path)
    counts = class_counts(values, columns)
    return Split(rows=table.num_rows, class_counts=counts, digest=hexadecimal(digest % MODULUS), shards=tuple(shards))


def class_counts(values: Values, columns: Sequence[Column]) -> dict[str, int]:
    """The rows of each class, where one column alone determines the class."""
    labels = [column for column in columns if column.role == "target" and column.meaning == "category"]
    if len(labels) != 1:
        return {}
    numbers = list(values[labels[0].name])
    return {name: numbers.count(at) for at, name in enumerate(labels[0].classes or ())}


def describe(path: Path, version: Path) -> Shard:
    """The record of a shard in a manifest."""
    facts = pq.read_metadata(path)
    return Shard(
        file=path.relative_to(version).as_posix(),
        rows=facts.num_rows,
        bytes=path.stat().st_size,
        sha256=sha256_of(path),
        row_groups=facts.num_row_groups,
    )


def as_table(split: str, values: Values, columns: Sequence[Column]) -> pa.Table:
    """The rows as they stand in Parquet: lineage first, tensors as little-endian bytes."""
    rows = len(values[columns[0].name])
    ids = [f"{split}-{row}" for row in range(rows)]
    nothing = pa.array([None] * rows, pa.string())
    made = {"sample_id": pa.array(ids, pa.string()), "parent_id": nothing, "op": nothing}
    made |= {name: pa.array(values[name], pa.string()) for name in made if name in values}
    return pa.table(made | {column.name: _column(values[column.name], column) for column in columns})


def _column(values: Any, column: Column) -> pa.Array:
    dtype = np.dtype("O") if column.dtype == "string" else np.dtype(column.dtype).newbyteorder("<")
    if column.layout == "tensor":
        return pa.array([np.ascontiguousarray(row, dtype).tobytes() for row in values], pa.binary())
    if column.layout == "list":
        return pa.array(
            [np.asarray(row, dtype) for row in values], pa.list_(pa.from_numpy_dtype(np.dtype(column.dtype)))
        )
    return pa.array(values) if column.dtype == "string" else pa.array(np.asarray(values, dtype))
