"""Opens a stored file on a worker, and refuses one that is not the listed one any more."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from millstream.pipelines.readers.stored.listing import disk_tag, remote_tag
from millstream.pipelines.table import StoredFile
from millstream.tracking.dataset.filesystems import Remote, place
from millstream.tracking.errors import BadData, BadEnvironment, Refusal

BLOCK = 8 << 20
"""Bytes of one request, where a file is read from its begin to its end."""
_OF_CLIENTS = ("botocore", "aiobotocore", "aiohttp", "asyncio", "fsspec", "s3fs")


@contextmanager
def opened(file: StoredFile, *, in_order: bool = True) -> Iterator[IO[bytes]]:
    """A stream of the file's bytes; `in_order`: read from begin to end, not by ranges.

    Raises as `refusing`, and BadData when the file has another tag or length than when it was listed.
    """
    with refusing(file):
        where = place(file.where)
        with _on_disk(file, where) if isinstance(where, Path) else _remote(file, where, in_order) as stream:
            yield stream


@contextmanager
def held(file: StoredFile, content: pa.Buffer, modified: str) -> Iterator[IO[bytes]]:
    """As `opened`, of bytes that Spark has read."""
    with refusing(file):
        check(file, modified, content.size)
        yield pa.BufferReader(content)


@contextmanager
def refusing(file: StoredFile) -> Iterator[None]:
    """Raises BadData where reading finds that the file is gone or damaged, and BadEnvironment where it may not be read
    or its store does not answer.
    """
    try:
        yield
    except Refusal:
        raise
    except FileNotFoundError:
        raise BadData.at(file.where, "is gone since it was listed; give the command again") from None
    except PermissionError as error:
        raise BadEnvironment.at(file.where, f"may not be read ({error}); look at its permissions") from None
    except (pa.ArrowException, EOFError, zlib.error) as error:
        raise BadData.at(file.where, f"cannot be read to its end ({_line(error)}); get the file again") from None
    except Exception as error:  # each client has its own errors
        if type(error).__name__ == "FileExpired" or "pre-conditions" in str(error):
            raise _changed(file) from None
        if isinstance(error, OSError) and error.errno is None:  # Arrow's, for damaged bytes
            raise BadData.at(file.where, f"cannot be read to its end ({_line(error)}); get the file again") from None
        if isinstance(error, OSError) or type(error).__module__.partition(".")[0] in _OF_CLIENTS:
            raise BadEnvironment.at(file.where, f"does not answer as it should ({_line(error)})") from None
        raise


@contextmanager
def _on_disk(file: StoredFile, path: Path) -> Iterator[IO[bytes]]:
    with path.open("rb") as stream:
        check(file, *_state(stream))
        yield stream
        check(file, *_state(stream))  # it may have changed while it was read


@contextmanager
def _remote(file: StoredFile, where: Remote, in_order: bool) -> Iterator[IO[bytes]]:
    # the client sends the tag with each request (If-Match)
    options: dict[str, Any] = {"block_size": BLOCK, "cache_type": "readahead" if in_order else "none"}
    with where.system.open(str(where), "rb", **options) as stream:
        check(file, remote_tag(stream.details), int(stream.details["size"]))
        yield stream


def _state(stream: IO[bytes]) -> tuple[str, int]:
    facts = os.fstat(stream.fileno())
    return disk_tag(facts), facts.st_size


def check(file: StoredFile, tag: str, size: int) -> None:
    if (tag, size) != (file.tag, file.bytes):
        raise _changed(file)


def _changed(file: StoredFile) -> Refusal:
    message = "has changed since it was listed"
    return BadData.at(file.where, f"{message}; let nobody write to it, and give the command again")


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
