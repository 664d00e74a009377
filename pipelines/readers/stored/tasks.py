"""Spreads stored files over Spark's Python workers: small files together, large ones in pieces.

On a disk and on S3 the workers open the files themselves; on any other file system Spark's own reader of whole files
hands them the bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import IO

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from millstream.pipelines.readers.stored.opening import held, opened
from millstream.pipelines.table import StoredFile
from millstream.tracking.dataset.filesystems import S3, place
from millstream.tracking.errors import BadData

LEAST_BYTES, MOST_BYTES = 4 << 20, 64 << 20
"""Bytes of stored files that a task reads; a file that cannot be cut may have more."""
MOST_FILES = 500
"""Files of a task: a request takes some milliseconds, whatever the file's length."""
TASKS_A_CORE = 3
MOST_HELD = 1 << 30
"""Bytes of a file that Spark hands over whole."""


@dataclass(frozen=True)
class Piece:
    """The part `at` of `of` equal ones of a file."""

    file: StoredFile
    at: int = 0
    of: int = 1


Read = Callable[[Piece, IO[bytes]], Iterator[pa.RecordBatch]]


def on_workers(
    spark: SparkSession,
    files: Sequence[StoredFile],
    read: Read,
    schema: StructType | str,
    *,
    cut: bool = False,
    in_order: bool = True,
) -> DataFrame:
    """The rows that `read` yields for all files; with `cut` several tasks read a large file, a piece each.

    `in_order`: a file is read from begin to end, not by ranges. Raises BadData for a file that is too large for Spark
    to hand it over whole.
    """
    where = place(files[0].where)
    if not isinstance(where, Path) and where.scheme != S3:
        return _handed_over(spark, files, read, schema)
    tasks = spread(files, spark.sparkContext.defaultParallelism, cut=cut)
    texts = [(json.dumps([astuple(piece) for piece in task]),) for task in tasks]

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for text in batch.column(0).to_pylist():
                for file, at, of in json.loads(text):
                    piece = Piece(StoredFile(*file), at, of)
                    with opened(piece.file, in_order=in_order) as stream:
                        yield from read(piece, stream)

    rows = spark.sparkContext.parallelize(texts, len(texts))
    return spark.createDataFrame(rows, "task string").mapInArrow(run, schema)


def spread(files: Sequence[StoredFile], cores: int, *, cut: bool = False) -> list[list[Piece]]:
    """The pieces that each task reads."""
    total = sum(file.bytes for file in files)
    most = min(MOST_BYTES, max(LEAST_BYTES, total // (TASKS_A_CORE * cores)))
    tasks: list[list[Piece]] = []
    room = 0
    for file in files:
        pieces = max(1, round(file.bytes / most)) if cut else 1
        for at in range(pieces):
            if not tasks or room < file.bytes // pieces or len(tasks[-1]) >= MOST_FILES:
                tasks.append([])
                room = most
            tasks[-1].append(Piece(file, at, pieces))
            room -= file.bytes // pieces
    return tasks


def _handed_over(spark: SparkSession, files: Sequence[StoredFile], read: Read, schema: StructType | str) -> DataFrame:
    large = [file for file in files if file.bytes > MOST_HELD]
    if large:
        message = f"has {large[0].bytes:,} bytes; from this file system files of at most {MOST_HELD:,} are read"
        raise BadData.at(large[0].where, f"{message}: save the table in more files")
    by_url = {file.where: file for file in files}

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for url, modified, content in zip(*(batch.column(at) for at in range(3)), strict=True):
                file = by_url[url.as_py()]
                with held(file, content.as_buffer(), f"modified:{modified.as_py() / 1000}") as stream:
                    yield from read(Piece(file), stream)

    contents = spark.read.format("binaryFile").load(list(by_url))
    return contents.select("path", F.unix_millis("modificationTime"), "content").mapInArrow(run, schema)
