"""Writes the rows of a frame as Parquet files in Spark's Python workers, and returns their manifest records.

One pass: the Arrow batches of a part are serialized to one file with one row group, hashed, and written under a unique
name. The same rows result in the same bytes in every run. Only the manifest records pass through the driver.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame

from millstream.pipelines.publish.compression import compression
from millstream.pipelines.spark.frames import in_arrow
from millstream.tracking.dataset.filesystems import answering, place
from millstream.tracking.dataset.manifest import Shard
from millstream.tracking.errors import BadEnvironment
from millstream.tracking.host.disk_full import is_full, no_room
from millstream.tracking.verification.content_digest import batches_digest, hexadecimal

Batches = Iterable[pa.RecordBatch]
STORE = "MILLSTREAM_STORE"
RECORD_SCHEMA = "shard string, digest string"
PART = "_part"
TASKS_A_CORE = 2
PARTS_A_TASK = 64
"""Maximal parts per task: about 512 MiB that are sorted together."""


class Written(NamedTuple):
    """A written file: its manifest record, and the sum of its rows' hashes."""

    shard: Shard
    digest: int


def placed(frame: DataFrame, parts: int, *order: str) -> DataFrame:
    """The frame partitioned and sorted for `write`; its column `_part` (0 to `parts` - 1) is the file of a row.

    A task holds many parts: starting a Python task costs as much as writing several MB.
    """
    cores = frame.sparkSession.sparkContext.defaultParallelism
    tasks = min(parts, max(TASKS_A_CORE * cores, -(-parts // PARTS_A_TASK)))
    return frame.repartition(tasks, PART).sortWithinPartitions(PART, *order)


def names(folder: str, parts: int) -> list[str]:
    """File names of the parts of one folder, without suffix."""
    return [f"{folder}/part-{number:05d}" for number in range(parts)]


def write(frame: DataFrame, where: str, files: Sequence[str], token: str = "") -> list[Written]:
    """Write each part of a placed frame as `<where>/<files[part]>[-<token>].parquet`; returns the files, in order.

    `where` is a path shared by all workers, or a URL that fsspec supports. Raises BadEnvironment when the disk is full.
    """
    ending = f"-{token}.parquet" if token else ".parquet"

    def written(batches: Batches) -> Iterator[pa.RecordBatch]:
        # a file is hashed and synced while the rows of the next arrive: two are in memory
        with ThreadPoolExecutor(1, thread_name_prefix="shard") as writer:
            begun: deque[Future[Written]] = deque()
            for number, rows in by_part(batches):
                begun.append(writer.submit(write_part, rows, f"{where}/{files[number]}{ending}"))
                if len(begun) > 1:
                    yield record_batch(begun.popleft().result())
            yield from (record_batch(one.result()) for one in begun)

    return collected(in_arrow(frame, written, RECORD_SCHEMA))


def by_part(batches: Batches) -> Iterator[tuple[int, list[pa.RecordBatch]]]:
    """The rows of each part, without the column `_part`; the batches are sorted by part."""
    held: list[pa.RecordBatch] = []
    current = -1
    for batch in batches:
        at = batch.schema.get_field_index(PART)
        numbers = batch.column(at).to_numpy()
        rows = pa.RecordBatch.from_arrays(
            [*batch.columns[:at], *batch.columns[at + 1 :]],
            schema=pa.schema([*(field for field in batch.schema if field.name != PART)]),
        )
        borders = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(numbers)]
        for start, end in pairwise(borders):
            if start == end:
                continue
            if numbers[start] != current and held:
                yield current, held
                held = []
            current = int(numbers[start])
            held.append(rows.slice(start, end - start))
    if held:
        yield current, held


def write_part(rows: Sequence[pa.RecordBatch], target: str) -> Written:
    """Write all rows, at least one, as one file."""
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


def record_batch(written: Written) -> pa.RecordBatch:
    """A file's record as a worker sends it to the driver."""
    facts = {"shard": [written.shard.model_dump_json()], "digest": [hexadecimal(written.digest)]}
    return pa.RecordBatch.from_pydict(facts)


def collected(facts: DataFrame) -> list[Written]:
    """Records from all workers, sorted by file name."""
    written = [Written(Shard.model_validate_json(row[0]), int(row[1], 16)) for row in facts.collect()]
    return sorted(written, key=lambda one: one.shard.file)


def refusal_of(error: Exception) -> BadEnvironment | None:
    """The BadEnvironment that a worker raised, parsed from the driver's error."""
    raised = re.search(r"millstream\.tracking\.errors\.BadEnvironment: (.+?): (.+)", str(error))
    return BadEnvironment(*BadEnvironment.at(raised[1], raised[2]).faults) if raised else None


def _parquet(table: pa.Table) -> memoryview:
    sink = pa.BufferOutputStream()
    # without Arrow's own schema: only Parquet types, which every reader has
    pq.write_table(
        table,
        sink,
        compression=compression(table),
        use_dictionary=False,
        row_group_size=table.num_rows,
        store_schema=False,
    )
    return memoryview(sink.getvalue())


def _put(target: str, content: memoryview) -> None:
    """Write a file atomically, so that a retry of the task finds no partial file."""
    where = place(target)
    if not isinstance(where, Path):
        with answering(target):
            where.system.pipe_file(target, bytes(content))
        return
    beside = where.with_name(f".{where.name}.{os.getpid()}")
    synced(beside, content)
    beside.replace(where)


def synced(path: Path, content: bytes | memoryview) -> None:
    """Write and fsync a file. Raises BadEnvironment with the missing space when the disk is full."""
    try:
        with path.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if is_full(error):
            raise BadEnvironment.at(path, no_room(path.parent, len(content), STORE)) from None
        raise
