"""Arrays that the processes of a host share: one copy of a split that is held decoded.

They lie in a file of the host's memory file system. Whoever uses it holds a lock of the kernel on it, which a dead
process loses: so what was left behind is told from what is in use, and removed by the next one that comes.
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
    """The arrays called `name`; the first process to ask makes and fills them, the others wait until they are whole.

    They are the same memory in all processes of a user, and gone when the last one that uses them has ended.
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
    """Bytes that are free for arrays to be shared; 0 where there is no memory file system."""
    try:
        found = os.statvfs(memory)
    except OSError:
        return 0
    return found.f_bavail * found.f_frsize


def sweep(folder: Path) -> list[str]:
    """Remove what no living process uses; the names removed."""
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
    """Remove an open file that no other process uses; whether it was, and was still at its place."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    if not is_at(file, path):
        return False
    path.unlink(missing_ok=True)  # while it is locked: who waits for it sees that it is gone
    return True


def _own_folder(memory: Path) -> Path:
    """A folder that no other user can write into, or has put there for us to fall for."""
    folder = memory / f"millstream-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise BadEnvironment.at(folder, "is not a folder of yours alone; remove it, or train with fit.memory: streamed")
    return folder


def _opened(path: Path) -> IO[bytes]:
    """The file with a shared lock on it, made if need be; one that somebody just removed is made anew."""
    while True:
        file = path.open("a+b")
        fcntl.flock(file, fcntl.LOCK_SH)
        if is_at(file, path):
            return file
        file.close()


@contextmanager
def _filling(file: IO[bytes]) -> Iterator[None]:
    """While inside, no other process fills the file.

    It is a lock of another kind, beside the one that says that the file is in use: making that one exclusive would wait
    for all others that use it, also for one that has just filled it and keeps it.
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
    """Room for `size` bytes, all zero: taken now, since a write into a full memory file system would kill us later."""
    os.ftruncate(file.fileno(), 0)
    try:
        os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        os.ftruncate(file.fileno(), 0)
        told = f"no room for a split of {size:,} bytes ({error.strerror}); lower fit.cache_mib, or make it larger"
        raise BadEnvironment.at(folder, told) from None


def _offsets(layout: Layout) -> list[int]:
    """Where each array begins, and behind them the end of the last."""
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
    """Let go of the arrays; the last one removes them."""
    with file:
        _removed(file, path)  # unless others go on
