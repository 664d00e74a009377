"""Writes a prepared table as a dataset version: how its rows are cut into shards, and what is told of them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.rows import draw, named
from pipelines.shards import PART, full, placed, refusal_of
from pipelines.stores import Staging, Store
from pipelines.table import Table
from tracking.digest import hexadecimal
from tracking.faults import BadEnvironment
from tracking.manifest import LINEAGE, Column, Split

SHARD_BYTES = 8 << 20
REFUSED_ROWS = 100_000
"""Rows of a file in the quarantine."""
_NO_ROOM = ("No space left on device", "Disk quota exceeded", "quota of")


def write_split(table: Table, staged: Staging, split: str, counts: dict[int | None, int], seed: int) -> Split:
    """Write one split, whose classes have `counts` rows, shuffled once by hash, a row group a shard.

    Which row stands where follows from the seed and the rows' sample_ids alone, never from Spark's partitions.
    """
    rows = sum(counts.values())
    written = staged.write(in_parts(table, split, rows, seed), f"split={split}")
    classes = (table.classes[0].classes if len(table.classes) == 1 else None) or ()
    return Split(
        rows=rows,
        class_counts={name: counts.get(at, 0) for at, name in enumerate(classes)},
        digest=hexadecimal(sum(one.digest for one in written)),
        shards=tuple(one.shard for one in written),
    )


def in_parts(table: Table, split: str, rows: int, seed: int) -> DataFrame:
    """The `rows` rows of a split, cut into parts of about SHARD_BYTES and in order within each, by hash."""
    parts = max(1, -(-rows * _row_bytes(table.columns) // SHARD_BYTES))
    mine = table.frame.where(F.col("split") == split)
    kept = mine.select(*LINEAGE, *(named(column.name) for column in table.columns))
    hashed = kept.withColumn("_hash", F.expr(draw(seed, "order", "sample_id")))
    numbered = hashed.withColumn(PART, F.expr(f"CAST(pmod(_hash, {parts}) AS INT)"))
    return placed(numbered, parts, "_hash", "sample_id").drop("_hash")


def write_refused(refused: DataFrame | None, staged: Staging) -> dict[str, int]:
    """Write the rows that were refused, with their reasons, in the order of their ids; the count of each reason."""
    if refused is None:
        return {}
    counts = {row[0]: row[1] for row in refused.groupBy("reason").count().collect()}
    if counts:
        files = -(-sum(counts.values()) // REFUSED_ROWS)
        parts = refused.withColumn(PART, F.expr(f"CAST(pmod(xxhash64(sample_id), {files}) AS INT)"))
        staged.write(placed(parts, files, "sample_id"), "quarantine")
    return dict(sorted(counts.items()))


@contextmanager
def room(store: Store, scratch: Path) -> Iterator[None]:
    """Raises BadEnvironment, with the place and what is missing, when Spark's workers find a disk full."""
    try:
        yield
    except (Py4JJavaError, PySparkException) as error:
        refused = refusal_of(error)
        if refused is not None:
            raise refused from error
        if any(told in str(error) for told in _NO_ROOM):
            # Spark writes what it sorts into its own folder
            where = scratch if shutil.disk_usage(scratch).free < SHARD_BYTES else store.where
            raise BadEnvironment.at(where, full(scratch, SHARD_BYTES)) from error
        raise


def _row_bytes(columns: tuple[Column, ...]) -> int:
    """Bytes of a row by its columns' types alone, so that the number of shards never depends on a sample of rows."""
    widths = {"uint8": 1, "int16": 2, "int32": 4, "float32": 4}
    total = 32
    for column in columns:
        count = 1
        for side in column.shape:
            count *= side
        total += 32 if column.dtype == "string" else widths.get(column.dtype, 8) * count
    return total
