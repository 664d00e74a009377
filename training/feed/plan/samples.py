"""What a sample is: a row of the split, a window that is cut from one, or a row that comes as often as its weight says.

Samples are numbered in stored order over all shards, as rows are. The plan orders samples; only here stands which row
one lies in, and at which time step of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from millstream.tracking.errors import BadData
from millstream.training.feed.plan.batch_order import Rows

_FIRST = bytes(8)
"""A zero that stands for many: `numpy.broadcast_to` takes seven times as long."""


@dataclass(frozen=True)
class Samples:
    """The samples of a split, whose shards have `shard_rows` rows and whose rows hold `of_row` samples each."""

    shard_rows: tuple[int, ...]
    of_row: Rows | None = None
    """None: each row is a sample."""
    stride: int = 0
    """Time steps from a row's sample to its next one; 0: they are the same row again."""

    @classmethod
    def windows(cls, shard_rows: tuple[int, ...], lengths: Rows, *, steps: int, stride: int, block: int) -> Self:
        """Windows of `steps` time steps in blocks of which `lengths` are real, as the step `window` lays them down."""
        within = (lengths - steps) // stride + 1
        return cls(shard_rows, np.clip(within, 0, -(-block // stride)), stride)

    @classmethod
    def drawn(cls, shard_rows: tuple[int, ...], weights: NDArray[Any], share: float) -> Self:
        """As many samples as rows; a row comes n w / sum(w) times, rounded up or down, on average exactly so.

        Systematic sampling (Madow 1949, doi:10.1214/aoms/1177730033) from the start `share` in [0, 1).
        Raises BadData for weights that are negative, not finite, or all 0.
        """
        weights = weights.astype(np.float64)
        if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.sum() > 0):
            raise BadData.at(
                "fit.sampling", "weights have to be finite, not negative and not all 0; look at the column"
            )
        upto = np.floor(np.cumsum(weights) * (len(weights) / weights.sum()) + share).astype(np.int64)
        upto[-1] = len(weights)  # sums of many fractions end a hair beside it
        return cls(shard_rows, np.diff(upto, prepend=0))

    @cached_property
    def of_shard(self) -> tuple[int, ...]:
        """The samples of each shard."""
        if self.of_row is None:
            return self.shard_rows
        ends = np.concatenate([[0], self._ends])[np.cumsum(self.shard_rows)]
        return tuple(np.diff(ends, prepend=0).tolist())

    @cached_property
    def firsts(self) -> Rows:
        """The number of each shard's first sample, and behind them the number of samples."""
        return np.concatenate([[0], np.cumsum(np.asarray(self.of_shard, np.int64))])

    def places(self, samples: Rows) -> tuple[Rows, Rows]:
        """For each sample its row, and which of the row's samples it is."""
        if self.of_row is None:
            return samples, np.ndarray(samples.shape, np.int64, _FIRST, strides=(0,) * samples.ndim)
        rows = np.searchsorted(self._ends, samples, side="right")
        return rows, samples - (self._ends[rows] - self.of_row[rows])

    def name(self, sample_id: str, which: int) -> str:
        """The id of a row's sample: a window names the time step at which it starts, a repeated row its turn."""
        if self.stride:
            return f"{sample_id}@{which * self.stride}"
        return f"{sample_id}#{which}" if which else sample_id

    @cached_property
    def _ends(self) -> Rows:
        counts = np.ones(sum(self.shard_rows), np.int64) if self.of_row is None else self.of_row
        return np.cumsum(counts)
