"""One process at a time, by a lock of the kernel: it is released when the process dies.

Where a folder is shared by hosts, its file system has to carry `flock` to all of them (docs/setup.md).
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
"""What a file system answers that cannot lock: NFS without a lock manager, or of a file that may only be read; Lustre
without its mount option."""


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """While one process (or thread) is inside, others that ask for the same file wait."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with _opened(lock) as file:
        locked(file, lock)
        yield


def locked(file: IO[bytes], path: Path, *, wait: bool = True) -> bool:
    """Lock an open file; False when another process holds it, unless that is waited for.

    Raises BadEnvironment where the file system has no locks.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        told = f"its file system cannot lock it ({error.strerror})"
        raise BadEnvironment.at(
            path, f"{told}; mount it with locks, or set MILLSTREAM_HOME to a folder of another one"
        ) from None
    return True


def is_at(file: IO[bytes], path: Path) -> bool:
    """Whether an open file is still the one at `path`: it may have been removed, and another made, before it was
    locked."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _opened(lock: Path) -> IO[bytes]:
    """The file, made if need be; one of another user that may only be read can be locked all the same."""
    try:
        return lock.open("ab")
    except PermissionError:
        if not lock.exists():
            raise
        return lock.open("rb")
