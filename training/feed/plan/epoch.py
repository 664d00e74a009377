"""Order of one epoch on one rank: the plan over samples, optionally with length bucketing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from millstream.tracking.dataset.windows import LENGTH, Windows
from millstream.tracking.errors import BadData
from millstream.tracking.seeds import key
from millstream.training.feed.plan.batch_order import Plan, Rows, by_length
from millstream.training.feed.plan.samples import Samples
from millstream.training.feed.read.shards import Shards


def samples_of(shards: Shards) -> Samples:
    """The samples of a split: its rows, or the windows in them."""
    windows = Windows.of(shards.dataset.manifest.steps)
    if windows is None:
        return Samples(shards.rows)
    lengths = shards.numbers(LENGTH).astype(np.int64)
    return Samples.windows(shards.rows, lengths, steps=windows.steps, stride=windows.stride, block=windows.block)


@dataclass(frozen=True)
class Drawing:
    """Weighted sampling: draws each epoch's samples by the rows' weights."""

    shards: Shards
    seed: int
    weights: NDArray[Any]

    @classmethod
    def of(cls, shards: Shards, seed: int) -> Self:
        """Raises BadData without a weight column; windows have none."""
        manifest = shards.dataset.manifest
        column = next((one.name for one in manifest.columns if one.role == "weight"), None)
        if column is None:
            message = "weighted: the dataset has no weight column; add `rebalance: {method: weights}` to the steps"
            raise BadData.at(f"{manifest.name}/{manifest.version}", f"fit.sampling {message}")
        return cls(shards, seed, shards.numbers(column))

    def samples(self, epoch: int) -> Samples:
        digest = self.shards.dataset.manifest.splits[self.shards.split].digest
        share = key(digest, self.seed, epoch, "draw") / 2**64
        return Samples.drawn(self.shards.rows, self.weights, share)


@dataclass(frozen=True)
class Lengths:
    """Elements of each row in all of its lists, from the offsets of the Arrow lists, read lazily per shard."""

    shards: Shards
    columns: tuple[str, ...]
    _known: dict[int, Rows] = field(default_factory=dict, compare=False, repr=False)

    def of(self, rows: Rows) -> Rows:
        shard_of = np.searchsorted(self.shards.first_rows, rows, side="right") - 1
        found = np.zeros_like(rows)
        for number in np.unique(shard_of).tolist():
            if number not in self._known:
                lists = [self.shards.list_lengths(number, one) for one in self.columns]
                self._known[number] = np.sum(lists, axis=0)
            here = shard_of == number
            found[here] = self._known[number][rows[here] - self.shards.first_rows[number]]
        return found


def lengths_of(shards: Shards) -> Lengths:
    """List lengths of a split. Raises BadData for a dataset without lists: all samples have equal length."""
    lists = tuple(block.first.name for block in shards.blocks if block.is_lengths)
    if not lists:
        message = "fit.bucket_batches puts samples of like length together, and the dataset has no lists; leave it out"
        raise BadData.at(f"{shards.dataset.manifest.name}/{shards.dataset.manifest.version}", message)
    return Lengths(shards, lists)


@dataclass(frozen=True)
class Epoch:
    """Samples of an epoch and their order, for a rank that owns `lanes`."""

    plan: Plan
    samples: Samples
    lanes: range
    lengths: Lengths | None = None
    together: int = 1
    """Batches within which samples are sorted by length."""

    def slots(self, k: int) -> Rows:
        """The sample in each slot of window `k`, (batches, slots); -1 for an empty slot."""
        found = self.plan.slots(k, self.lanes)
        if self.lengths is None:
            return found
        # a partial batch stays last on every rank, even where this rank's lanes are full in it
        full = found[: self.plan.full(k)]
        rows, _ = self.samples.places(full)
        mixed = self.plan.key("length", k)
        full[:] = by_length(full, self.lengths.of(rows), len(self.lanes), self.together, mixed)
        return found

    def begins(self, batches: range) -> NDArray[np.bool_] | None:
        """Whether a sequence begins in each slot, (batches, slots); None in an order that has no sequences."""
        return self.plan.begins(batches, self.lanes)

    def shards(self, k: int) -> list[int]:
        return self.plan.shards(k, self.lanes)
