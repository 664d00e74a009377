"""Writes the rows of a frame as Parquet files in Spark's Python workers, and tells what each file holds.

One pass: the rows of a part come as Arrow batches, become the bytes of one file of one row group, and these are hashed
and written under a name of their own. The same rows give the same bytes in every run. Nothing passes through the driver
but what the manifest says of the files.
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
TOLD = "shard string, digest string"
PART = "_part"
TASKS_A_CORE = 2
PARTS_A_TASK = 64
"""At the most: about 512 MiB, which are to be sorted together."""


class Written(NamedTuple):
    """A file with rows: what the manifest says of it, and the sum of its rows' hashes."""

    shard: Shard
    digest: int


def placed(frame: DataFrame, parts: int, *order: str) -> DataFrame:
    """The frame, whose column `_part` (0 to `parts` - 1) says which file a row belongs to, as `write` wants it.

    A task holds many parts: to start one in Python costs as much as to write several MB.
    """
    cores = frame.sparkSession.sparkContext.defaultParallelism
    tasks = min(parts, max(TASKS_A_CORE * cores, -(-parts // PARTS_A_TASK)))
    return frame.repartition(tasks, PART).sortWithinPartitions(PART, *order)


def names(folder: str, parts: int) -> list[str]:
    """The files of so many parts of one folder, without their ending."""
    return [f"{folder}/part-{number:05d}" for number in range(parts)]


def write(frame: DataFrame, where: str, files: Sequence[str], token: str = "") -> list[Written]:
    """Write each part of a placed frame as `<where>/<files[part]>[-<token>].parquet`; what was written, in order.

    `where` is a path that all workers see, or a URL that fsspec knows. Raises BadEnvironment when it is full.
    """
    ending = f"-{token}.parquet" if token else ".parquet"

    def written(batches: Batches) -> Iterator[pa.RecordBatch]:
        # a file is hashed, and its disk waited for, while the rows of the next come: two are held
        with ThreadPoolExecutor(1, thread_name_prefix="shard") as writer:
            begun: deque[Future[Written]] = deque()
            for number, rows in by_part(batches):
                begun.append(writer.submit(write_part, rows, f"{where}/{files[number]}{ending}"))
                if len(begun) > 1:
                    yield told(begun.popleft().result())
            yield from (told(one.result()) for one in begun)

    return collected(in_arrow(frame, written, TOLD))


def by_part(batches: Batches) -> Iterator[tuple[int, list[pa.RecordBatch]]]:
    """The rows of each part, without the column that says which; they come one part after the other."""
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
    """One file of all rows, of which there are some."""
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


def told(written: Written) -> pa.RecordBatch:
    """What a worker tells the driver of a file."""
    facts = {"shard": [written.shard.model_dump_json()], "digest": [hexadecimal(written.digest)]}
    return pa.RecordBatch.from_pydict(facts)


def collected(facts: DataFrame) -> list[Written]:
    """What all workers told, by the names of the files."""
    found = [Written(Shard.model_validate_json(row[0]), int(row[1], 16)) for row in facts.collect()]
    return sorted(found, key=lambda one: one.shard.file)


def refusal_of(error: Exception) -> BadEnvironment | None:
    """What a worker refused, as the driver's error repeats it."""
    said = re.search(r"millstream\.tracking\.errors\.BadEnvironment: (.+?): (.+)", str(error))
    return BadEnvironment(*BadEnvironment.at(said[1], said[2]).faults) if said else None


def _parquet(table: pa.Table) -> memoryview:
    sink = pa.BufferOutputStream()
    # without Arrow's own schema: what is not in Parquet's types, no other reader would see
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
        if is_full(error):
            raise BadEnvironment.at(path, no_room(path.parent, len(content), STORE)) from None
        raise
