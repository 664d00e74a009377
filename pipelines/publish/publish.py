"""Writes a prepared table as a dataset version: rows shuffled into shards, and their records in the manifest."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from millstream.pipelines.publish.shard_writer import PART, STORE, names, placed, refusal_of
from millstream.pipelines.publish.stores import Staging, Store
from millstream.pipelines.spark import cluster
from millstream.pipelines.spark.frames import draw, named
from millstream.pipelines.table import Table
from millstream.tracking.dataset.manifest import ASIDE, LINEAGE, SPLITS, Shard, Split
from millstream.tracking.dataset.records import Column
from millstream.tracking.errors import BadEnvironment
from millstream.tracking.host.disk_full import is_full, no_room
from millstream.tracking.verification.content_digest import hexadecimal

SHARD_BYTES = 8 << 20
REFUSED_ROWS = 100_000
"""Rows per file in the quarantine."""
_HADOOP = "quota of"
"""In the error of a Hadoop file system when a folder's quota is exceeded."""


Counts = Mapping[str, Mapping[int | None, int]]
"""Rows of each split by class index."""


def write_splits(table: Table, staged: Staging, counts: Counts, seed: int) -> dict[str, Split]:
    """Write all splits in one pass, each shuffled once by hash, one row group per shard.

    The order of rows depends only on the seed and the rows' sample_ids, not on Spark's partitions.
    """
    parts = {split: parts_of(table.columns, sum(counts[split].values())) for split in SPLITS if split in counts}
    written = staged.write(in_parts(table, parts, seed), files_of(parts))
    classes = (table.classes[0].classes if len(table.classes) == 1 else None) or ()
    splits = {}
    for split in parts:
        mine = [one for one in written if one.shard.file.startswith(f"{_folder(split)}/")]
        splits[split] = Split(
            rows=sum(counts[split].values()),
            class_counts={name: counts[split].get(at, 0) for at, name in enumerate(classes)},
            digest=hexadecimal(sum(one.digest for one in mine)),
            shards=tuple(one.shard for one in mine),
        )
    return splits


def parts_of(columns: tuple[Column, ...], rows: int) -> int:
    """Number of parts of about SHARD_BYTES for `rows` rows."""
    return max(1, -(-rows * _row_bytes(columns) // SHARD_BYTES))


def files_of(parts: Mapping[str, int]) -> list[str]:
    """File names of the parts of each split, without suffix."""
    return [file for split, count in parts.items() for file in names(_folder(split), count)]


def in_parts(table: Table, parts: Mapping[str, int], seed: int) -> DataFrame:
    """Rows assigned to the `parts` of their split and sorted within each, by hash; parts are numbered across splits."""
    mine = table.frame.where(F.col("split").isin(*parts))
    hashed = mine.withColumn("_hash", F.expr(draw(seed, "order", "sample_id")))
    before = dict(zip(parts, accumulate(parts.values(), initial=0), strict=False))
    part = " ".join(f"WHEN '{split}' THEN {before[split]} + pmod(_hash, {count})" for split, count in parts.items())
    numbered = hashed.withColumn(PART, F.expr(f"CAST(CASE split {part} END AS INT)"))
    kept = numbered.select(*LINEAGE, *(named(column.name) for column in table.columns), "_hash", PART)
    return placed(kept, sum(parts.values()), "_hash", "sample_id").drop("_hash")


def write_refused(refused: DataFrame | None, staged: Staging) -> tuple[dict[str, int], tuple[Shard, ...]]:
    """Write the quarantined rows with their reasons, sorted by id.

    Returns the number of rows per reason, and the files.
    """
    counts = {} if refused is None else {row[0]: row[1] for row in refused.groupBy("reason").count().collect()}
    if refused is None or not counts:
        return {}, ()
    files = -(-sum(counts.values()) // REFUSED_ROWS)
    parts = refused.withColumn(PART, F.expr(f"CAST(pmod(xxhash64(sample_id), {files}) AS INT)"))
    written = staged.write(placed(parts, files, "sample_id"), names(ASIDE, files))
    return dict(sorted(counts.items())), tuple(one.shard for one in written)


@contextmanager
def room(store: Store, scratch: Path) -> Iterator[None]:
    """Raises BadEnvironment (folder and missing space) when a disk is full, or when Spark has lost its workers."""
    try:
        yield
    except (Py4JJavaError, PySparkException) as error:
        refused = refusal_of(error)
        if refused is not None:
            raise refused from error
        if cluster.is_given_up(error):
            raise BadEnvironment.at("spark cluster", cluster.GONE) from error
        if is_full(error) or _HADOOP in str(error):
            # Spark spills to its own folder
            where = scratch if shutil.disk_usage(scratch).free < SHARD_BYTES else store.where
            raise BadEnvironment.at(where, no_room(scratch, SHARD_BYTES, STORE)) from error
        raise


def _folder(split: str) -> str:
    return f"split={split}"


def _row_bytes(columns: tuple[Column, ...]) -> int:
    """Bytes per row, from the column types alone, so that the number of shards does not depend on a sample of rows."""
    widths = {"uint8": 1, "int16": 2, "int32": 4, "float32": 4}
    total = 32
    for column in columns:
        count = 1
        for side in column.shape:
            count *= side
        total += 32 if column.dtype == "string" else widths.get(column.dtype, 8) * count
    return total
