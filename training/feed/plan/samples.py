"""Samples of a split: rows, windows cut from rows, or rows repeated according to their weight.

Samples are numbered in stored order over all shards, as rows are. The plan orders samples; this module maps each to its
row and time step.
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
"""Buffer of an all-zero array with stride 0: `numpy.broadcast_to` takes seven times as long."""


@dataclass(frozen=True)
class Samples:
    """The samples of a split with `shard_rows` rows per shard and `of_row` samples per row."""

    shard_rows: tuple[int, ...]
    of_row: Rows | None = None
    """None: each row is one sample."""
    stride: int = 0
    """Time steps between consecutive samples of a row; 0: repetitions of the row."""

    @classmethod
    def windows(cls, shard_rows: tuple[int, ...], lengths: Rows, *, steps: int, stride: int, block: int) -> Self:
        """Windows of `steps` time steps in blocks with `lengths` real steps, as stored by the step `window`."""
        within = (lengths - steps) // stride + 1
        return cls(shard_rows, np.clip(within, 0, -(-block // stride)), stride)

    @classmethod
    def drawn(cls, shard_rows: tuple[int, ...], weights: NDArray[Any], share: float) -> Self:
        """As many samples as rows; each row n w / sum(w) times, rounded up or down, with exactly that expectation.

        Systematic sampling (Madow 1949, doi:10.1214/aoms/1177730033) from the start `share` in [0, 1).
        Raises BadData for weights that are negative, not finite, or all 0.
        """
        weights = weights.astype(np.float64)
        if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.sum() > 0):
            raise BadData.at(
                "fit.sampling", "weights have to be finite, not negative and not all 0; look at the column"
            )
        upto = np.floor(np.cumsum(weights) * (len(weights) / weights.sum()) + share).astype(np.int64)
        upto[-1] = len(weights)  # corrects the rounding error of the sum
        return cls(shard_rows, np.diff(upto, prepend=0))

    @cached_property
    def of_shard(self) -> tuple[int, ...]:
        """Number of samples in each shard."""
        if self.of_row is None:
            return self.shard_rows
        ends = np.concatenate([[0], self._ends])[np.cumsum(self.shard_rows)]
        return tuple(np.diff(ends, prepend=0).tolist())

    @cached_property
    def firsts(self) -> Rows:
        """Index of each shard's first sample, followed by the total number of samples."""
        return np.concatenate([[0], np.cumsum(np.asarray(self.of_shard, np.int64))])

    def places(self, samples: Rows) -> tuple[Rows, Rows]:
        """Each sample's row, and its index among the row's samples."""
        if self.of_row is None:
            return samples, np.ndarray(samples.shape, np.int64, _FIRST, strides=(0,) * samples.ndim)
        rows = np.searchsorted(self._ends, samples, side="right")
        return rows, samples - (self._ends[rows] - self.of_row[rows])

    def name(self, sample_id: str, which: int) -> str:
        """The id of a row's sample: with the start time step for a window, with the count for a repeated row."""
        if self.stride:
            return f"{sample_id}@{which * self.stride}"
        return f"{sample_id}#{which}" if which else sample_id

    @cached_property
    def _ends(self) -> Rows:
        counts = np.ones(sum(self.shard_rows), np.int64) if self.of_row is None else self.of_row
        return np.cumsum(counts)
