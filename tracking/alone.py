"""One process at a time, by a lock of the kernel: it lets go when the process dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """While one process (or thread) is inside, others that ask for the same file wait."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def is_at(file: IO[bytes], path: Path) -> bool:
    """Whether an open file is still the one at `path`: it may have been removed, and another made, before it was
    locked."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
