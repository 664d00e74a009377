"""Samples of a window from shards, in batch order: cached decoded in memory, or streamed.

Both follow the same plan, so that caching never changes the batches.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from millstream.tracking.dataset.filesystems import Place, Remote
from millstream.tracking.errors import BadData
from millstream.training.feed.plan.batch_order import Rows
from millstream.training.feed.plan.epoch import Epoch
from millstream.training.feed.plan.samples import Samples
from millstream.training.feed.read.columns import Arrays, Block
from millstream.training.feed.read.shards import Piece, Shards
from millstream.training.feed.read.shared_memory import shared_arrays

Read = Callable[[Shards, Sequence[int]], Iterator[Piece]]
"""An engine: yields each numbered shard as often as requested, in any order."""

AnyT = TypeVar("AnyT")
FEW_CORES = 2
Stored = Callable[[slice | Rows], tuple[Tensor, ...]]
"""Returns the blocks of some slots of a window, numbered batch by batch, in stored dtype."""


@dataclass
class Statistics:
    """Throughput statistics of one pass over the feed."""

    rows: int = 0
    wait_s: float = 0.0
    bytes_read: int = 0
    started: float = 0.0

    @property
    def wait(self) -> float:
        """The fraction of time since the start spent waiting for data."""
        return self.wait_s / max(1e-9, time.monotonic() - self.started)


class Window(NamedTuple):
    """Consecutive global batches as one rank sees them."""

    first: int
    slots: Rows
    """The sample in each slot, (batches, slots); -1 for an empty slot."""
    stored: Stored
    """The values in its slots; arbitrary where there is no sample."""


class Held:
    """A cached split, decoded once, in stored order; with `shared`, once for all processes of the host."""

    def __init__(self, shards: Shards, read: Read, shared: bool = False) -> None:
        self.shards = shards
        self.shared = shared
        self._read = read
        self._rows: Arrays | None = None

    def rows(self, statistics: Statistics) -> Arrays:
        """The cached blocks of the split, read at the first call."""
        if self._rows is None:
            shards = self.shards
            count = int(shards.first_rows[-1])
            own = [at for at in range(len(shards.blocks)) if shards.same(at) == at]
            layout = [((count, *shards.blocks[at].held), shards.blocks[at].stored) for at in own]
            fill = partial(self._fill, own, statistics)
            if self.shared:
                held = shared_arrays(shards.content(), layout, fill)
            else:
                held = tuple(np.empty(shape, dtype) for shape, dtype in layout)
                fill(held)
            self._rows = tuple(held[own.index(shards.same(at))] for at in range(len(shards.blocks)))
        return self._rows

    def _fill(self, own: list[int], statistics: Statistics, held: Arrays) -> None:
        shards = self.shards
        numbers = [number for number, rows in enumerate(shards.rows) if rows]
        for piece in self._read(shards, numbers):
            start, end = shards.first_rows[piece.shard : piece.shard + 2]
            for at, whole in zip(own, held, strict=True):
                whole[start:end] = piece.arrays[at]
            statistics.bytes_read += shards.all[piece.shard].bytes

    def windows(self, epoch: Epoch, first: int, statistics: Statistics) -> Generator[Window, None, None]:
        """The windows from the one with batch `first` on; samples are gathered on access."""
        self.rows(statistics)
        for k in range(epoch.plan.window_of(first), epoch.plan.windows):
            slots = epoch.slots(k)
            yield Window(epoch.plan.window(k).start, slots, self.gather(epoch.samples, slots, statistics))

    def gather(self, samples: Samples, slots: Rows, statistics: Statistics) -> Stored:
        blocks = self.shards.blocks
        sources = [
            torch.from_numpy(block.samples(rows)) for block, rows in zip(blocks, self.rows(statistics), strict=True)
        ]
        rows, which = samples.places(np.maximum(slots, 0))
        steps = which * samples.stride if samples.stride else which
        places = [torch.from_numpy(block.places(rows, steps)).reshape(-1) for block in blocks]
        return lambda some: tuple(
            torch.index_select(source, 0, place[some]) for source, place in zip(sources, places, strict=True)
        )


class Streamed:
    """A split that is read in each epoch; a shard that continues into the next window is kept until then.

    Two buffers alternate over all windows: one is used while the other is filled. New buffers would cost page faults.
    """

    def __init__(self, shards: Shards, read: Read) -> None:
        self.shards = shards
        self._read = read

    def windows(self, epoch: Epoch, first: int, statistics: Statistics) -> Generator[Window, None, None]:
        """The windows from the one with batch `first` on, each scattered into a buffer in batch order."""
        numbers = range(epoch.plan.window_of(first), epoch.plan.windows)
        needed = [epoch.shards(k) for k in numbers]
        with closing(_Arrivals(self.shards, self._read, _fresh(needed), statistics)) as arrivals:
            kept: dict[int, Arrays] = {}
            pair = self._buffers(epoch), self._buffers(epoch)
            for k, now, later in zip(numbers, needed, [*map(set, needed[1:]), set()], strict=True):
                slots = epoch.slots(k)
                buffers = tuple(one[: slots.size] for one in pair[k % 2])
                sources = _sources(slots, epoch.samples, self.shards)
                for shard in now:
                    arrays = kept.pop(shard) if shard in kept else arrivals.take(shard)
                    _scatter(self.shards.blocks, arrays, buffers, *sources(shard))
                    if shard in later:
                        kept[shard] = arrays
                yield Window(epoch.plan.window(k).start, slots, _sliced(self.shards.blocks, buffers))

    def _buffers(self, epoch: Epoch) -> Arrays:
        """Buffers for the largest window."""
        plan = epoch.plan
        slots = -(-plan.batches // plan.windows) * len(epoch.lanes) * (plan.batch_size // plan.lanes)
        return tuple(np.empty((slots, *block.shape), block.stored) for block in self.shards.blocks)


class _Arrivals:
    """Returns shards in the requested order, from an engine that yields them in any order."""

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


def ahead(things: Generator[AnyT, None, None], count: int) -> Generator[AnyT, None, None]:
    """The `count` items, each prefetched by a thread while the previous one is used.

    The thread and the source generator are closed before the last item is yielded, and when the iterator is closed.
    """
    torch.get_num_threads()  # fixes this thread's number before the other one sets its own
    # one torch thread: with more there would be more threads than cores, and OpenMP lets all of them sleep between two
    # loops, also those of the model: a quarter of LeNet's time, measured
    pool = ThreadPoolExecutor(1, thread_name_prefix="feed", initializer=torch.set_num_threads, initargs=(1,))
    try:
        coming = pool.submit(next, things)
        for left in range(count - 1, -1, -1):
            thing = coming.result()
            if left:
                coming = pool.submit(next, things)
            else:
                pool.shutdown()
                things.close()
            yield thing
    finally:
        pool.shutdown(cancel_futures=True)
        things.close()


def is_worth_threads(folder: Place) -> bool:
    """Whether to read shards in `folder` in background threads: with an accelerator, a remote store, or enough cores.

    On two cores, reading in threads takes the same time from the model, plus the cost of thread wake-ups.
    """
    return torch.cuda.is_available() or isinstance(folder, Remote) or (os.cpu_count() or 1) > FEW_CORES


def in_turn(things: Generator[AnyT, None, None], count: int) -> Generator[AnyT, None, None]:
    """The `count` items, each produced on demand.

    The source generator is closed before the last item is yielded, and when the iterator is closed.
    """
    with closing(things):
        yield from islice(things, count - 1)
        last = next(things)
    yield last


def _fresh(needed: Sequence[Sequence[int]]) -> list[int]:
    """The shards to read, window by window, without those kept from the previous window."""
    found: list[int] = []
    before: set[int] = set()
    for now in needed:
        found += [shard for shard in now if shard not in before]
        before = set(now)
    return found


Source = tuple[Rows, Rows, Rows]
"""Rows of a shard, the time steps in them at which samples begin, and the destination slots."""


def _sources(slots: Rows, samples: Samples, shards: Shards) -> Callable[[int], Source]:
    """A function from a shard to its part of a window, in the order of the shard."""
    # torch sorts four times as fast as numpy
    ordered, by_sample = (one.numpy() for one in torch.sort(torch.from_numpy(slots.reshape(-1))))
    borders = np.searchsorted(ordered, samples.firsts)

    def of(shard: int) -> Source:
        here = slice(borders[shard], borders[shard + 1])
        rows, which = samples.places(ordered[here])
        steps = which * samples.stride if samples.stride else which
        return rows - shards.first_rows[shard], steps, by_sample[here]

    return of


def _scatter(blocks: Sequence[Block], arrays: Arrays, buffers: Arrays, rows: Rows, steps: Rows, slots: Rows) -> None:
    if not len(rows):
        return
    for block, array, buffer in zip(blocks, arrays, buffers, strict=True):
        places = block.places(rows, steps)
        is_run = bool((places[1:] - places[:-1] == 1).all())
        buffer[slots] = block.samples(array)[slice(int(places[0]), int(places[-1]) + 1) if is_run else places]


def _sliced(blocks: Sequence[Block], buffers: Arrays) -> Stored:
    """Slices of the buffers; copies where batches would otherwise be views of a buffer."""
    tensors = tuple(map(torch.from_numpy, buffers))

    def some_of(some: slice | Rows) -> tuple[Tensor, ...]:
        views = (tensor[some] for tensor in tensors)
        return tuple(view if block.is_new else view.clone() for block, view in zip(blocks, views, strict=True))

    return some_of
