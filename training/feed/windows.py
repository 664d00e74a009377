"""From shards to the rows of a window, in batch order: held decoded in memory, or streamed past.

Both follow the same plan, so that what is cached never changes what is yielded.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tracking.faults import BadData
from training.feed.blocks import Arrays
from training.feed.order import Plan, Rows
from training.feed.shards import Piece, Shards

Read = Callable[[Shards, Sequence[int]], Iterator[Piece]]
"""An engine: yields each of the numbered shards as often as it was asked for, in whatever order."""


@dataclass
class Statistics:
    """What one pass over the feed took; started anew with each pass."""

    rows: int = 0
    wait_s: float = 0.0
    bytes_read: int = 0
    started: float = 0.0

    @property
    def wait(self) -> float:
        """The share of the time since the start that was waited for data."""
        return self.wait_s / max(1e-9, time.monotonic() - self.started)


class Window(NamedTuple):
    """A run of global batches as one rank sees it."""

    first: int
    slots: Rows
    """The row in each slot, (batches, slots); -1 for none."""
    stored: Callable[[int], tuple[Tensor, ...]]
    """The blocks of the rank's slots of the window's i-th batch, in stored dtype; anything where there is no row."""


class Held:
    """A split decoded once, in stored order."""

    def __init__(self, shards: Shards, read: Read) -> None:
        self.shards = shards
        self._read = read
        self._blocks: tuple[Tensor, ...] | None = None

    def blocks(self, statistics: Statistics) -> tuple[Tensor, ...]:
        """Every block of the split, read at the first call."""
        if self._blocks is None:
            shards = self.shards
            whole = _empty(shards, int(shards.first_rows[-1]))
            numbers = [number for number, rows in enumerate(shards.rows) if rows]
            for piece in self._read(shards, numbers):
                start, end = shards.first_rows[piece.shard : piece.shard + 2]
                for block, array in zip(whole, piece.arrays, strict=True):
                    block[start:end] = array
                statistics.bytes_read += shards.all[piece.shard].bytes
            self._blocks = tuple(map(torch.from_numpy, whole))
        return self._blocks

    def windows(self, plan: Plan, lanes: range, first: int, statistics: Statistics) -> Generator[Window, None, None]:
        """The windows from the one with batch `first` on; each batch is gathered when it is asked for."""
        blocks = self.blocks(statistics)
        for k in range(plan.window_of(first), plan.windows):
            slots = plan.slots(k, lanes)
            index = torch.from_numpy(np.maximum(slots, 0))
            yield Window(plan.window(k).start, slots, _gathered(blocks, index))


class Streamed:
    """A split that is read anew in each epoch; a shard that goes on into the next window is kept until then."""

    def __init__(self, shards: Shards, read: Read) -> None:
        self.shards = shards
        self._read = read

    def windows(self, plan: Plan, lanes: range, first: int, statistics: Statistics) -> Generator[Window, None, None]:
        """The windows from the one with batch `first` on, each scattered into a buffer in batch order."""
        numbers = range(plan.window_of(first), plan.windows)
        needed = [plan.shards(k, lanes) for k in numbers]
        wanted = _fresh(needed)
        with closing(_Arrivals(self.shards, self._read, wanted, statistics)) as arrivals:
            kept: dict[int, Arrays] = {}
            for k, now, later in zip(numbers, needed, [*needed[1:], []], strict=True):
                slots = plan.slots(k, lanes)
                buffers = _empty(self.shards, slots.size)
                sources = _sources(slots, self.shards)
                for shard in now:
                    arrays = kept.pop(shard) if shard in kept else arrivals.take(shard)
                    _scatter(arrays, buffers, *sources(shard))
                    if shard in set(later):
                        kept[shard] = arrays
                yield Window(plan.window(k).start, slots, _sliced(buffers, slots.shape[1]))


class _Arrivals:
    """Hands out the shards that were asked for, in any order in which the engine brings them."""

    def __init__(self, shards: Shards, read: Read, wanted: Sequence[int], statistics: Statistics) -> None:
        self._shards = shards
        self._pieces = iter(read(shards, wanted))
        self._waiting: dict[int, deque[Arrays]] = defaultdict(deque)
        self._statistics = statistics

    def take(self, shard: int) -> Arrays:
        while not self._waiting[shard]:
            piece = next(self._pieces, None)
            if piece is None:
                where = self._shards.dataset.folder / self._shards.all[shard].file
                raise BadData.at(where, "the reader did not bring this shard; read with the other engine")
            self._waiting[piece.shard].append(piece.arrays)
            self._statistics.bytes_read += self._shards.all[piece.shard].bytes
        return self._waiting[shard].popleft()

    def close(self) -> None:
        if isinstance(self._pieces, Generator):
            self._pieces.close()


def ahead(windows: Generator[Window, None, None], count: int) -> Generator[Window, None, None]:
    """The `count` windows, each next one made by a thread while the last one is used.

    The thread and the readers are gone before the last window is handed out, and when the iterator is closed.
    """
    pool = ThreadPoolExecutor(1, thread_name_prefix="feed")
    try:
        coming = pool.submit(next, windows)
        for left in range(count - 1, -1, -1):
            window = coming.result()
            if left:
                coming = pool.submit(next, windows)
            else:
                pool.shutdown()
                windows.close()
            yield window
    finally:
        pool.shutdown(cancel_futures=True)
        windows.close()


def _fresh(needed: Sequence[Sequence[int]]) -> list[int]:
    """The shards to be read, window after window, without those kept from the window before."""
    found: list[int] = []
    before: set[int] = set()
    for now in needed:
        found += [shard for shard in now if shard not in before]
        before = set(now)
    return found


def _empty(shards: Shards, rows: int) -> Arrays:
    return tuple(np.empty((rows, *block.shape), block.stored) for block in shards.blocks)


def _sources(slots: Rows, shards: Shards) -> Callable[[int], tuple[Rows, Rows]]:
    """For each shard: which of its rows go to a window, and to which slots, both in the order of the shard."""
    flat = slots.ravel()
    by_row = np.argsort(flat)
    rows = flat[by_row]
    borders = np.searchsorted(rows, shards.first_rows)

    def of(shard: int) -> tuple[Rows, Rows]:
        here = slice(borders[shard], borders[shard + 1])
        return rows[here] - shards.first_rows[shard], by_row[here]

    return of


def _scatter(arrays: Arrays, buffers: Arrays, source: Rows, slots: Rows) -> None:
    if not len(source):
        return
    is_run = int(source[-1] - source[0]) + 1 == len(source)
    taken = slice(int(source[0]), int(source[-1]) + 1) if is_run else source
    for array, buffer in zip(arrays, buffers, strict=True):
        buffer[slots] = array[taken]


def _gathered(blocks: tuple[Tensor, ...], index: Tensor) -> Callable[[int], tuple[Tensor, ...]]:
    return lambda i: tuple(torch.index_select(block, 0, index[i]) for block in blocks)


def _sliced(buffers: Arrays, slots: int) -> Callable[[int], tuple[Tensor, ...]]:
    tensors = tuple(map(torch.from_numpy, buffers))
    return lambda i: tuple(tensor[i * slots : (i + 1) * slots] for tensor in tensors)
