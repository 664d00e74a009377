"""Streaming distribution statistics: mean, deviation, quartiles and histogram, merged from batches."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

KEPT_VALUES = 1 << 20
"""Maximum values of a column kept for quartiles: 8 MB."""
BINS = 40

Numbers_N = NDArray[np.float64]


class Spread(BaseModel, frozen=True):
    """Distribution of numbers. `deviation` is the population standard deviation. Times are microseconds since 1970."""

    count: int
    mean: float
    deviation: float
    quartiles: tuple[float, float, float, float, float]
    """Minimum, three quartiles, maximum."""
    kept: int
    """Number of values behind the inner quartiles and the histogram: all, or those of a sample of rows."""
    edges: tuple[float, ...]
    """Histogram bin edges. Outliers are counted in the outermost bins."""
    bins: tuple[int, ...]


class Sample:
    """Bottom-k sample: items of the rows with the lowest draws, at most `most`."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.items: NDArray[Any] = np.empty(0, np.float64)
        self.draws: Numbers_N = np.empty(0, np.float64)

    def add(self, items: NDArray[Any], draws: Numbers_N) -> None:
        self.items = np.concatenate([self.items, items]) if len(self.items) else items
        self.draws = np.concatenate([self.draws, draws]) if len(self.draws) else draws
        if len(self.items) > 2 * self.most:
            self._cut()

    def kept(self) -> NDArray[Any]:
        if len(self.items) > self.most:
            self._cut()
        return self.items

    def _cut(self) -> None:
        low = np.argpartition(self.draws, self.most)[: self.most]
        self.items, self.draws = self.items[low], self.draws[low]


class Moments:
    """Mean and sum of squared deviations, merged from batches (Chan et al. 1983, doi:10.2307/2683386)."""

    def __init__(self, rows_kept: int) -> None:
        self.count, self.mean, self.squares = 0, 0.0, 0.0
        self.low, self.high = np.inf, -np.inf
        self.sample = Sample(max(1, rows_kept))

    def add(self, values: NDArray[Any], draws: Numbers_N) -> None:
        """`values` (N,) or (N, D): D numbers per row. Non-finite ones are skipped."""
        finite = values.astype(np.float64, copy=False)
        finite = finite[np.isfinite(finite)]
        if not finite.size:
            return
        mean, count = float(finite.mean()), finite.size
        apart, total = mean - self.mean, self.count + count
        self.squares += float(np.square(finite - mean).sum()) + apart**2 * self.count * count / total
        self.mean += apart * count / total
        self.count = total
        self.low, self.high = min(self.low, float(finite.min())), max(self.high, float(finite.max()))
        self.sample.add(values, draws)

    def kept(self) -> Numbers_N:
        kept: Numbers_N = self.sample.kept().astype(np.float64).ravel()
        finite: Numbers_N = kept[np.isfinite(kept)]
        return finite

    def spread(self, edges: Numbers_N) -> Spread | None:
        if not self.count:
            return None
        kept = self.kept()
        bins, _ = np.histogram(np.clip(kept, edges[0], edges[-1]), edges)
        return Spread(
            count=self.count,
            mean=self.mean,
            deviation=float(np.sqrt(self.squares / self.count)),
            quartiles=(self.low, *np.quantile(kept, [0.25, 0.5, 0.75]).tolist(), self.high),
            kept=len(kept),
            edges=tuple(edges.tolist()),
            bins=tuple(bins.tolist()),
        )


def edges_of(kept: Numbers_N) -> Numbers_N:
    """Histogram bin edges: one bin per integer if there are few; long tails are clipped."""
    low, high = float(kept.min()), float(kept.max())
    if high - low < BINS and np.all(kept == np.rint(kept)):
        return np.arange(low - 0.5, high + 1)
    most = np.quantile(kept, [0.005, 0.995])
    reach = 0.5 * (most[1] - most[0])
    if reach > 0:  # otherwise nearly all values are equal
        low, high = max(low, most[0] - reach), min(high, most[1] + reach)
    return np.linspace(low, high, BINS + 1)
