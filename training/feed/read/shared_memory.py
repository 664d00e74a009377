"""Arrays shared by the processes of a host: one copy of a cached, decoded split.

They are stored in a file of the host's memory file system. Each user holds a kernel lock on it, which is released when
the process dies: so stale files can be distinguished from files in use, and the next process removes them.
"""

from __future__ import annotations

import fcntl
import math
import mmap
import os
import stat
import struct
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from millstream.tracking.errors import BadEnvironment
from millstream.tracking.host.file_lock import is_at
from millstream.training.feed.read.columns import Arrays

MEMORY = Path("/dev/shm")
WHOLE = b"whole"
ALIGNED = 64
Layout = Sequence[tuple[tuple[int, ...], np.dtype[Any]]]
"""Shape and dtype of each array."""


def shared_arrays(name: str, layout: Layout, fill: Callable[[Arrays], None], memory: Path = MEMORY) -> Arrays:
    """The arrays called `name`; the first process creates and fills them, the others wait until they are complete.

    They are the same memory in all processes of a user, and are freed when the last process that uses them has ended.
    Raises BadEnvironment when the memory file system has no room for them.
    """
    folder = _own_folder(memory)
    sweep(folder)
    size = _offsets(layout)[-1] + len(WHOLE)
    file = _opened(folder / name)
    with _filling(file):
        if not _is_whole(file, size):
            _allocate(file, size, folder)
            held = mmap.mmap(file.fileno(), size)
            fill(_arrays(held, layout))
            held[-len(WHOLE) :] = WHOLE
    arrays = _arrays(mmap.mmap(file.fileno(), size), layout)
    weakref.finalize(arrays[0].base, _leave, file, folder / name)
    return arrays


def room(memory: Path = MEMORY) -> int:
    """Free bytes for shared arrays; 0 without a memory file system."""
    try:
        found = os.statvfs(memory)
    except OSError:
        return 0
    return found.f_bavail * found.f_frsize


def sweep(folder: Path) -> list[str]:
    """Remove files that no living process uses; return their names."""
    removed = []
    for path in sorted(folder.iterdir()):
        try:
            file = path.open("rb")
        except FileNotFoundError:
            continue  # another process was faster
        with file:
            if _removed(file, path):
                removed.append(path.name)
    return removed


def _removed(file: IO[bytes], path: Path) -> bool:
    """Remove an open file that no other process uses; return whether it was removed, and was still at `path`."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    if not is_at(file, path):
        return False
    path.unlink(missing_ok=True)  # while locked: a process waiting for the lock sees that it is gone
    return True


def _own_folder(memory: Path) -> Path:
    """A folder that belongs to this user alone. Raises BadEnvironment for one that another user owns or can access."""
    folder = memory / f"millstream-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise BadEnvironment.at(folder, "is not a folder of yours alone; remove it, or train with fit.memory: streamed")
    return folder


def _opened(path: Path) -> IO[bytes]:
    """The file with a shared lock, created if missing; recreated if another process has just removed it."""
    while True:
        file = path.open("a+b")
        fcntl.flock(file, fcntl.LOCK_SH)
        if is_at(file, path):
            return file
        file.close()


@contextmanager
def _filling(file: IO[bytes]) -> Iterator[None]:
    """Inside, no other process fills the file.

    It is another kind of lock than the one that marks the file as in use: making that one exclusive would wait for all
    other users, including the one that has just filled the file and keeps it.
    """
    _lock(file, fcntl.F_WRLCK)
    try:
        yield
    finally:
        _lock(file, fcntl.F_UNLCK)


def _lock(file: IO[bytes], kind: int) -> None:
    # struct flock of Linux: type, whence, start, length (0: all), process
    fcntl.fcntl(file, fcntl.F_OFD_SETLKW, struct.pack("hhqqi4x", kind, os.SEEK_SET, 0, 0, 0))


def _is_whole(file: IO[bytes], size: int) -> bool:
    if os.fstat(file.fileno()).st_size != size:
        return False
    return os.pread(file.fileno(), len(WHOLE), size - len(WHOLE)) == WHOLE


def _allocate(file: IO[bytes], size: int, folder: Path) -> None:
    """Allocate `size` zero bytes now, since a write into a full memory file system would kill the process later."""
    os.ftruncate(file.fileno(), 0)
    try:
        os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        os.ftruncate(file.fileno(), 0)
        message = f"no room for a split of {size:,} bytes ({error.strerror}); lower fit.cache_mib, or make it larger"
        raise BadEnvironment.at(folder, message) from None


def _offsets(layout: Layout) -> list[int]:
    """Offset of each array, followed by the end of the last."""
    found = [0]
    for shape, dtype in layout:
        size = dtype.itemsize * math.prod(shape)
        found.append(found[-1] + -(-size // ALIGNED) * ALIGNED)
    return found


def _arrays(held: mmap.mmap, layout: Layout) -> Arrays:
    whole = np.frombuffer(held, np.uint8)
    starts = _offsets(layout)
    return tuple(
        np.ndarray(shape, dtype, whole, start) for (shape, dtype), start in zip(layout, starts[:-1], strict=True)
    )


def _leave(file: IO[bytes], path: Path) -> None:
    """Release the arrays; the last user removes the file."""
    with file:
        _removed(file, path)  # unless others use it
