"""Writes the partitions of a frame as Parquet files in Spark's Python workers, and tells what each file holds.

One pass: a partition comes as Arrow batches, becomes the bytes of one file of one row group, and these are hashed and
written under a name of their own. The same rows give the same bytes in every run. Nothing passes through the driver
but what the manifest says of the files.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark import TaskContext
from pyspark.sql import DataFrame

from tracking.digest import batches_digest, hexadecimal
from tracking.faults import BadEnvironment
from tracking.manifest import Shard
from tracking.remote import answering, place

Batches = Iterable[pa.RecordBatch]
TOLD = "shard string, digest string"


class Written(NamedTuple):
    """A file with rows: what the manifest says of it, and the sum of its rows' hashes."""

    shard: Shard
    digest: int


def write(frame: DataFrame, folder: str, token: str = "") -> list[Written]:
    """Write each partition that has rows as `<folder>/part-<partition>[-<token>].parquet`, in order.

    `folder` is a path that all workers see, or a URL that fsspec knows. Raises BadEnvironment when it is full.
    """
    ending = f"-{token}.parquet" if token else ".parquet"

    def written(batches: Batches) -> Iterator[pa.RecordBatch]:
        number = TaskContext.get().partitionId()
        yield told(write_part(batches, f"{folder}/part-{number:05d}{ending}"))

    return collected(frame.mapInArrow(written, TOLD))


def write_part(batches: Batches, target: str) -> Written | None:
    """One file of all rows; None, and no file, when there are none."""
    rows = [batch for batch in batches if batch.num_rows]
    if not rows:
        return None
    content = _parquet(pa.Table.from_batches(rows))
    shard = Shard(
        file="/".join(target.rsplit("/", 2)[1:]),
        rows=sum(batch.num_rows for batch in rows),
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        row_groups=1,
    )
    _put(target, content)
    return Written(shard, batches_digest(rows))


def told(written: Written | None) -> pa.RecordBatch:
    """What a worker tells the driver of a file."""
    facts = [] if written is None else [(written.shard.model_dump_json(), hexadecimal(written.digest))]
    return pa.RecordBatch.from_pydict(
        {
            "shard": pa.array([shard for shard, _ in facts], pa.string()),
            "digest": pa.array([digest for _, digest in facts], pa.string()),
        }
    )


def collected(facts: DataFrame) -> list[Written]:
    """What all workers told, by the names of the files."""
    found = [Written(Shard.model_validate_json(row[0]), int(row[1], 16)) for row in facts.collect()]
    return sorted(found, key=lambda one: one.shard.file)


def refusal_of(error: Exception) -> BadEnvironment | None:
    """What a worker refused, as the driver's error repeats it."""
    said = re.search(r"tracking\.faults\.BadEnvironment: (.+?): (.+)", str(error))
    return BadEnvironment(*BadEnvironment.at(said[1], said[2]).faults) if said else None


def _parquet(table: pa.Table) -> memoryview:
    sink = pa.BufferOutputStream()
    # without Arrow's own schema: what is not in Parquet's types, no other reader would see
    pq.write_table(
        table, sink, compression="zstd", use_dictionary=False, row_group_size=table.num_rows, store_schema=False
    )
    return memoryview(sink.getvalue())


def _put(target: str, content: memoryview) -> None:
    """Write a file at once: a second try of the same task finds nothing half."""
    where = place(target)
    if not isinstance(where, Path):
        with answering(target):
            where.system.pipe_file(target, bytes(content))
        return
    beside = where.with_name(f".{where.name}.{os.getpid()}")
    synced(beside, content)
    beside.replace(where)


def synced(path: Path, content: bytes | memoryview) -> None:
    """Write a file through to the disk. Raises BadEnvironment with what is missing when that is full."""
    try:
        with path.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise BadEnvironment.at(path, full(path.parent, len(content))) from None
        raise


def full(folder: Path, wanted: int) -> str:
    """How much is missing on the disk of a folder."""
    free = shutil.disk_usage(folder).free
    told = f"the disk is full: {wanted} bytes to write, {free} are free, {max(0, wanted - free)} are missing"
    return f"{told}; make room, or set MILLSTREAM_STORE to another disk"
