"""Sample of each slot of each global batch: a pure function of the split and the seed.

It depends on (split digest, seed, epoch, shard sizes, global batch size, lanes, window) alone, never on ranks, engine,
threads or memory. L lanes are equal spans of a tape of rows; each global batch of B slots takes b = B / L rows from
every lane; rank r of N owns the lanes [r L/N, (r+1) L/N). A window is a run of whole global batches, permuted within.
No array of the split's size is held in memory, unless the split fits into one window.

Rows are numbered in stored order over all shards; -1 is a slot without a row, which only the last batch can have.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from millstream.tracking.errors import WrongRecipe
from millstream.tracking.seeds import key

Rows = NDArray[np.int64]
LANES = (8, 4, 2, 1)
NO_ROW = -1
TOP_BIT = np.uint64(1 << 63)


def permutation(n: int, mixed: int) -> Rows:
    """A permutation of 0..n-1 that depends on `n` and the key `mixed` alone, in any version of numpy.

    Differs from a generator's shuffle: an argsort of splitmix64 (Steele et al. 2014, doi:10.1145/2660193.2660195),
    whose finaliser is a bijection, so that sort keys are unique and every sort algorithm agrees; torch's is four times
    as fast as numpy's.
    """
    z = np.arange(n, dtype=np.uint64)
    z *= np.uint64(0x9E3779B97F4A7C15)
    z += np.uint64(mixed)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    z ^= TOP_BIT  # torch sorts signed integers
    ordered: Rows = torch.argsort(torch.from_numpy(z.view(np.int64))).numpy()
    return ordered


def default_lanes(batch_size: int) -> int:
    """The largest of 8, 4, 2, 1 that divides the global batch."""
    return next(lanes for lanes in LANES if batch_size % lanes == 0)


def own_lanes(rank: int, ranks: int, lanes: int, batch_size: int) -> range:
    """The lanes of one rank.

    Raises WrongRecipe, with valid numbers of lanes, when lanes do not divide the batch or ranks not the lanes.
    """
    if batch_size % lanes or lanes % ranks:
        would_do = [one for one in range(ranks, batch_size + 1, ranks) if batch_size % one == 0][:8]
        advice = f"lanes that would do: {would_do}" if would_do else f"take a batch_size that {ranks} ranks divide"
        wrong = (
            f"do not divide the global batch of {batch_size}"
            if batch_size % lanes
            else f"are not shared by {ranks} ranks"
        )
        raise WrongRecipe.at("fit.lanes", f"{lanes} lanes {wrong}; {advice}")
    share = lanes // ranks
    return range(rank * share, (rank + 1) * share)


def by_length(slots: Rows, lengths: Rows, lanes: int, together: int, mixed: int) -> Rows:
    """Length bucketing: slots of a window's full batches, (batches, lanes * b), with similar lengths in each batch.

    Within every `together` batches, each lane's samples are sorted by `lengths` (same shape as `slots`) and cut into
    batches, which are permuted by the key `mixed`, equally for all lanes.
    """
    found = slots.copy()
    for number, first in enumerate(range(0, len(slots), together)):
        some = slice(first, min(first + together, len(slots)))
        count = some.stop - some.start
        # (batches, lanes * b) -> (lanes, batches * b)
        by_lane, long = (
            one[some].reshape(count, lanes, -1).transpose(1, 0, 2).reshape(lanes, -1) for one in (slots, lengths)
        )
        ordered = np.take_along_axis(by_lane, np.argsort(long, axis=1, kind="stable"), axis=1)
        batches = ordered.reshape(lanes, count, -1).transpose(1, 0, 2).reshape(count, -1)
        found[some] = batches[permutation(count, key(mixed, number))]
    return found


@dataclass(frozen=True)
class Plan:
    """The order of one epoch of a split."""

    digest: str
    seed: int
    epoch: int
    shard_rows: tuple[int, ...]
    batch_size: int
    lanes: int
    window_rows: int
    shuffle: bool = True

    @cached_property
    def rows(self) -> int:
        return sum(self.shard_rows)

    @cached_property
    def batches(self) -> int:
        return -(-self.rows // self.batch_size)

    @cached_property
    def windows(self) -> int:
        if self._is_full:
            return 1
        return -(-self.batches // max(1, self.window_rows // self.batch_size))

    def window(self, k: int) -> range:
        """The global batches of window `k`."""
        return range(self.batches * k // self.windows, self.batches * (k + 1) // self.windows)

    def full(self, k: int) -> int:
        """Number of full batches in window `k`, with a row in each slot of every lane: all, or all but the last."""
        window = self.window(k)
        return min(window.stop, self.rows // self.batch_size) - window.start

    def window_of(self, batch: int) -> int:
        """The window of the global batch `batch`."""
        k = batch * self.windows // self.batches
        return k if batch in self.window(k) else k + 1

    def slots(self, k: int, lanes: range) -> Rows:
        """The row in each slot of window `k`: shape (batches of the window, b * len(lanes))."""
        window = self.window(k)
        b = self.batch_size // self.lanes
        found = np.full((len(lanes), len(window) * b), NO_ROW, np.int64)
        for at, lane in enumerate(lanes):
            span = self._span(lane, window)
            found[at, : len(span)] = self._shuffled(span, lane, k)
        # (lanes, batches, b) -> (batches, lanes * b)
        return found.reshape(len(lanes), len(window), b).transpose(1, 0, 2).reshape(len(window), len(lanes) * b)

    def begins(self, batches: range, lanes: range) -> NDArray[np.bool_] | None:
        """Whether a sequence begins in each slot, (batches, slots); None in an order that has no sequences."""
        return None

    def shards(self, k: int, lanes: range) -> list[int]:
        """The shards that window `k` reads for `lanes`, without repetition, in tape order."""
        if self._is_full:
            return [shard for shard, rows in enumerate(self.shard_rows) if rows]
        found: dict[int, None] = {}
        for lane in lanes:
            span = self._span(lane, self.window(k))
            for piece in self._unrolled(span):
                first, last = np.searchsorted(self._ends, (piece.start, piece.stop - 1), side="right")
                found |= dict.fromkeys(s for s in self._tape[first : last + 1].tolist() if self.shard_rows[s])
        return list(found)

    def key(self, *purpose: object) -> int:
        """A random key from everything that determines this epoch's order, and the purpose."""
        return key(self.digest, self.seed, self.epoch, self.lanes, self.batch_size, self.window_rows, *purpose)

    @property
    def _is_full(self) -> bool:
        return self.rows <= self.window_rows

    def _span(self, lane: int, window: range) -> range:
        """The tape positions of a lane in a window."""
        b = self.batch_size // self.lanes
        start, end = (self.rows * one // self.lanes for one in (lane, lane + 1))
        return range(min(end, start + b * window.start), min(end, start + b * window.stop))

    def _shuffled(self, span: range, lane: int, k: int) -> Rows:
        if not self.shuffle:
            return np.arange(span.start, span.stop)
        if self._is_full:
            return self._whole[span.start : span.stop]
        return self._row(span.start + permutation(len(span), self.key("win", lane, k)))

    def _row(self, position: Rows) -> Rows:
        """The rows at positions of the tape."""
        turned = (position + self._turn) % self.rows
        place = np.searchsorted(self._ends, turned, side="right")
        return turned + self._shift[place]

    def _unrolled(self, span: range) -> list[range]:
        """The span on the tape before rotation: one range, or two around the end."""
        if not span:
            return []
        start, stop = span.start + self._turn, span.stop + self._turn
        if start >= self.rows:
            return [range(start - self.rows, stop - self.rows)]
        if stop <= self.rows:
            return [range(start, stop)]
        return [range(start, self.rows), range(stop - self.rows)]

    @cached_property
    def _whole(self) -> Rows:
        return permutation(self.rows, self.key("full"))

    @cached_property
    def _turn(self) -> int:
        return self.key("rot") % self.rows if self.shuffle else 0

    @cached_property
    def _tape(self) -> Rows:
        """The shards in tape order."""
        count = len(self.shard_rows)
        return permutation(count, self.key("shards")) if self.shuffle else np.arange(count)

    @cached_property
    def _ends(self) -> Rows:
        return np.cumsum(np.asarray(self.shard_rows, np.int64)[self._tape])

    @cached_property
    def _shift(self) -> Rows:
        """Offset from tape position to row number, for each shard on the tape."""
        sizes = np.asarray(self.shard_rows, np.int64)
        first_row = np.cumsum(sizes) - sizes
        return first_row[self._tape] - (self._ends - sizes[self._tape])
