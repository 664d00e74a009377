"""Exclusive file locks of the kernel, released when the process dies.

Where several hosts share a folder, its file system must propagate `flock` to all of them (docs/setup.md).
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from millstream.tracking.errors import BadEnvironment

_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF)
"""Errors of file systems without locks: NFS without a lock manager, or for a read-only file; Lustre without its mount
option."""


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Context that one process (or thread) holds at a time; others wait for the same file."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with _opened(lock) as file:
        locked(file, lock)
        yield


def locked(file: IO[bytes], path: Path, *, wait: bool = True) -> bool:
    """Lock an open file; False if another process holds it and `wait` is off.

    Raises BadEnvironment if the file system has no locks.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        message = f"its file system cannot lock it ({error.strerror})"
        raise BadEnvironment.at(
            path, f"{message}; mount it with locks, or set MILLSTREAM_HOME to a folder of another one"
        ) from None
    return True


def is_at(file: IO[bytes], path: Path) -> bool:
    """Whether an open file is still the one at `path`: it may have been removed and recreated before it was locked."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _opened(lock: Path) -> IO[bytes]:
    """The lock file, created if needed; another user's read-only file can be locked too."""
    try:
        return lock.open("ab")
    except PermissionError:
        if not lock.exists():
            raise
        return lock.open("rb")
