"""Images among stored files, and their bytes, on the workers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import IO

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from millstream.pipelines.readers.images import begins_as_image, has_suffix
from millstream.pipelines.readers.stored.opening import opened
from millstream.pipelines.readers.stored.tasks import Piece, on_workers
from millstream.pipelines.table import StoredFile
from millstream.tracking.dataset.filesystems import S3, place


def are_images(spark: SparkSession, files: Sequence[StoredFile]) -> list[bool]:
    """Whether each file is an image, by its suffix or content; only without a suffix of an image it is opened."""
    odd = [file for file in files if not has_suffix(file.name)]
    found: set[str] = set()
    if odd:
        rows = on_workers(spark, odd, _begins_as_image, "name string, is_image boolean", in_order=False).collect()
        found = {row.name for row in rows if row.is_image}
    return [file.name in found or has_suffix(file.name) for file in files]


def reference(file: StoredFile) -> str:
    """The file as a text that `content` opens."""
    return json.dumps(astuple(file))


def content(reference: str) -> bytes:
    """On a worker: the bytes of a file. Raises ValueError when there is none, otherwise as `opened`."""
    if not reference:
        raise ValueError("the file cannot be read")
    with opened(StoredFile(*json.loads(reference))) as stream:
        return stream.read()


def are_opened(files: Sequence[StoredFile]) -> bool:
    """Whether workers open the files themselves; otherwise Spark hands over their bytes (`contents`)."""
    where = place(files[0].where)
    return isinstance(where, Path) or where.scheme == S3


def contents(spark: SparkSession, files: Sequence[StoredFile]) -> DataFrame:
    """Columns `path`, the file's reference, and `content`."""
    return on_workers(spark, files, _content, "path string, content binary")


def _begins_as_image(piece: Piece, stream: IO[bytes]) -> Iterator[pa.RecordBatch]:
    is_image = begins_as_image(stream)
    yield pa.RecordBatch.from_pydict({"name": [piece.file.name], "is_image": [is_image]})


def _content(piece: Piece, stream: IO[bytes]) -> Iterator[pa.RecordBatch]:
    yield pa.RecordBatch.from_pydict({"path": [reference(piece.file)], "content": [bytes(stream.read())]})
