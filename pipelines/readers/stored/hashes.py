"""The identity of stored files: hashes of their bytes, computed by the workers and remembered, or tags of their store.

A remembered hash holds as long as the file has the same tag and length, so that a version is found again without
reading its input.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

import pyarrow as pa
from pyspark.sql import SparkSession

from millstream.pipelines.readers.stored.opening import BLOCK
from millstream.pipelines.readers.stored.tasks import Piece, on_workers
from millstream.pipelines.table import Identity, StoredFile
from millstream.tracking.dataset.manifest import File

Start = Callable[[], SparkSession]


class Unhashed(Exception):
    """Files have no remembered hash, and there is no Spark to compute it."""


def records(
    files: Sequence[StoredFile], identity: Identity, book: Path, start: Start | None = None
) -> tuple[File, ...]:
    """The manifest's records; `book` has the remembered hashes, and `start` starts Spark if one is missing.

    Raises Unhashed without `start`.
    """
    if identity == "store":
        return tuple(File(name=file.name, sha256=None, bytes=file.bytes, tag=file.tag) for file in files)
    if not files:
        return ()
    known = _remembered(book)
    unknown = [file for file in files if _key(file) not in known]
    if unknown:
        if start is None:
            raise Unhashed
        known |= _computed(start(), unknown)
        _remember(book, {_key(file): known[_key(file)] for file in files})
    return tuple(File(name=file.name, sha256=known[_key(file)], bytes=file.bytes) for file in files)


def _computed(spark: SparkSession, files: Sequence[StoredFile]) -> dict[str, str]:
    rows = on_workers(spark, files, _hashed, "file string, sha256 string").collect()
    return {row.file: row.sha256 for row in rows}


def _hashed(piece: Piece, stream: IO[bytes]) -> Iterator[pa.RecordBatch]:
    digest = hashlib.sha256()
    for block in iter(functools.partial(stream.read, BLOCK), b""):
        digest.update(block)
    yield pa.RecordBatch.from_pydict({"file": [_key(piece.file)], "sha256": [digest.hexdigest()]})


def _key(file: StoredFile) -> str:
    return json.dumps([file.where, file.bytes, file.tag])


def _remembered(book: Path) -> dict[str, str]:
    """The hashes in a file; none if it is missing or damaged."""
    try:
        found = json.loads(book.read_text(encoding="utf-8"))
        return {str(key): str(value) for key, value in found.items()}
    except (OSError, ValueError, AttributeError):
        return {}


def _remember(book: Path, hashes: dict[str, str]) -> None:
    book.parent.mkdir(parents=True, exist_ok=True)
    beside = book.with_name(f".{os.getpid()}.{book.name}")
    try:
        beside.write_text(json.dumps(hashes, indent=0), encoding="utf-8")
        beside.replace(book)
    finally:
        beside.unlink(missing_ok=True)
