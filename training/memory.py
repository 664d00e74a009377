"""Memory of the host and the device: an allocator that keeps freed memory, and errors when memory runs out."""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
import torch

from millstream.tracking.errors import TrainingFailed

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGEST_KEPT = 1 << 30
NEVER = (1 << 31) - 1
REFUSED = ("can't allocate memory", "cannot allocate memory", "std::bad_alloc")
"""Messages of torch's plain RuntimeError for host memory."""


def keep_freed_memory() -> bool:
    """Keep freed memory in the allocators of glibc and Arrow; return whether glibc accepted the setting.

    Returning it to the kernel and allocating again costs half of a small network's step. Measured on LeNet, batch 128:
    2,160 page faults a step before, under 4 after, and half the time.
    """
    name = ctypes.util.find_library("c")
    mallopt = getattr(ctypes.CDLL(name), "mallopt", None) if name else None
    if mallopt is None:
        return False
    is_kept = bool(mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT)) and bool(mallopt(M_TRIM_THRESHOLD, NEVER))
    if is_kept and "mimalloc" in pa.supported_memory_backends():
        # jemalloc, where it is the default, returns memory: reading images of 12 KiB took three times as long. glibc
        # fragments with shards of slightly different sizes: streaming with a limit of 512 MiB used 1,100 MiB
        pa.set_memory_pool(pa.mimalloc_memory_pool())
    return is_kept


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error reports that the device or the host is out of memory."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in REFUSED)


@contextmanager
def report_out_of_memory(name: str) -> Iterator[None]:
    """Raises TrainingFailed, naming the fields to change, where the body runs out of memory."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        place = "device" if isinstance(error, torch.OutOfMemoryError) else "host"
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TrainingFailed.at(
            name,
            f"no memory left on the {place} ({first}); resume with fit.accumulate raised, which takes a batch in "
            "parts, or train with a smaller fit.batch_size or network; the last checkpoint is kept",
        ) from error
