"""Spreads stored files over Spark's Python workers: small files together, large ones in pieces."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from millstream.pipelines.table import StoredFile

LEAST_BYTES, MOST_BYTES = 4 << 20, 64 << 20
"""Bytes of stored files that a task reads; a file that cannot be cut may have more."""
MOST_FILES = 500
"""Files of a task: a request takes some milliseconds, whatever the file's length."""
TASKS_A_CORE = 3
BATCH_ROWS = 16_384


@dataclass(frozen=True)
class Piece:
    """The part `at` of `of` equal ones of a file."""

    file: StoredFile
    at: int = 0
    of: int = 1


Read = Callable[[Piece], Iterator[pa.RecordBatch]]


def spread(files: Sequence[StoredFile], cores: int, *, cut: bool = False) -> list[list[Piece]]:
    """The pieces that each task reads; with `cut` a large file is read by several tasks."""
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


def on_workers(
    spark: SparkSession, tasks: Iterable[Sequence[Piece]], read: Read, schema: StructType | str
) -> DataFrame:
    """The rows that `read` yields for the pieces of all tasks."""
    texts = [json.dumps([astuple(piece) for piece in task]) for task in tasks]
    rows = spark.sparkContext.parallelize([(text,) for text in texts], max(1, len(texts)))

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for text in batch.column(0).to_pylist():
                for file, at, of in json.loads(text):
                    yield from read(Piece(StoredFile(*file), at, of))

    return spark.createDataFrame(rows, "task string").mapInArrow(run, schema)
