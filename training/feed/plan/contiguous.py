"""Order of batches for a state that is carried from batch to batch: slot i of a batch continues slot i of the last.

The sequences of a split, permuted and rotated each epoch, are concatenated into a tape, and the B slots of a
global batch are equal spans of it; a long sequence is thus divided over several slots. The order is a pure function of
(split digest, seed, epoch, lengths of the sequences, global batch size), and does not depend on lanes, ranks or memory.
In contrast to `Plan`, three arrays of the split's size are held in memory.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from millstream.tracking.seeds import key
from millstream.training.feed.plan.batch_order import NO_ROW, Plan, Rows, permutation


@dataclass(frozen=True)
class Sequences:
    """The samples of a split, sequence by sequence."""

    samples: Rows
    lengths: Rows
    """Samples of each sequence, at least 1."""


@dataclass(frozen=True, kw_only=True)
class Contiguous(Plan):
    """The order of one epoch; `shard_rows` are the samples of each shard."""

    sequences: Sequences = field(compare=False, repr=False)

    def slots(self, k: int, lanes: range) -> Rows:
        """The sample in each slot of window `k`: shape (batches of the window, b * len(lanes))."""
        position = self._positions(self.window(k), lanes)
        return np.where(position == NO_ROW, NO_ROW, self._tape_of_samples[0][position])

    def begins(self, batches: range, lanes: range) -> NDArray[np.bool_]:
        """Whether a sequence begins in each slot: at its first sample, and in the first batch of an epoch."""
        position = self._positions(batches, lanes)
        is_first = np.asarray(batches)[:, None] == 0
        found: NDArray[np.bool_] = is_first | ((position != NO_ROW) & self._tape_of_samples[1][position])
        return found

    def shards(self, k: int, lanes: range) -> list[int]:
        """The shards that window `k` reads for `lanes`, in stored order: sequences are spread over all shards."""
        found = self.slots(k, lanes)
        shards: Rows = np.searchsorted(np.cumsum(self.shard_rows), found[found != NO_ROW], side="right")
        return sorted(set(shards.tolist()))

    def key(self, *purpose: object) -> int:
        return key(self.digest, self.seed, self.epoch, self.batch_size, "contiguous", *purpose)

    def _positions(self, batches: range, lanes: range) -> Rows:
        """The place on the tape of each slot, (batches, slots); -1 for an empty slot."""
        b = self.batch_size // self.lanes
        slot_B = np.arange(lanes.start * b, lanes.stop * b)
        start_B, end_B = (self.rows * one // self.batch_size for one in (slot_B, slot_B + 1))
        position = start_B + np.arange(batches.start, batches.stop)[:, None]
        return np.where(position < end_B, position, NO_ROW)

    @cached_property
    def _tape_of_samples(self) -> tuple[Rows, NDArray[np.bool_]]:
        """The samples in tape order, and whether each is the first of its sequence."""
        lengths, starts = self.sequences.lengths, np.cumsum(self.sequences.lengths) - self.sequences.lengths
        is_first = np.zeros(self.rows, np.bool_)
        is_first[starts] = True
        if not self.shuffle:
            return self.sequences.samples, is_first
        order = permutation(len(lengths), self.key("sequences"))
        shift = starts[order] - (np.cumsum(lengths[order]) - lengths[order])
        places = np.roll(np.arange(self.rows) + np.repeat(shift, lengths[order]), -(self.key("turn") % self.rows))
        return self.sequences.samples[places], is_first[places]
