"""Significance of the difference between two models on the same rows.

Sources: McNemar 1947, doi:10.1007/BF02295996 (in its exact form, by the binomial); paired bootstrap: Efron & Tibshirani
1993, chapters 13 and 16; multiple comparisons: Holm 1979, Scandinavian Journal of Statistics 6(2).
Axes: N rows, R resamples, M models.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Outcomes = Mapping[str, NDArray[Any]]
"""Per-row values by name, as a task returns them: loss, correct, probability and positive, squared, absolute;
predicted, true and shared pixels; or values whose mean is the metric of that name."""
Statistic = Callable[[Floats], float]
"""A metric as a function of the count of each row in a resample."""

RESAMPLES = 2000
MIDDLE = (2.5, 97.5)
"""Percentiles of the 95 % interval of the resamples."""


@dataclass(frozen=True)
class Difference:
    """Difference of a metric between two models: the observed value, and the 95 % interval of the resamples."""

    found: float
    low: float
    high: float
    p: float


def mcnemar(first_N: NDArray[Any], second_N: NDArray[Any]) -> float:
    """p-value of McNemar's exact test on the rows that exactly one of two models predicts correctly.

    `first_N` and `second_N`: whether each model is correct on a row. 1 if the models never differ.
    """
    from scipy.stats import binomtest

    only_first, only_second = int(np.sum(first_N & ~second_N)), int(np.sum(second_N & ~first_N))
    differing = only_first + only_second
    return float(binomtest(only_first, differing).pvalue) if differing else 1.0


def statistic(metric: str, outcomes: Outcomes) -> Statistic | None:
    """The metric as a function of row counts; None if it cannot be computed from per-row values."""
    makers: dict[str, tuple[Callable[..., Statistic], tuple[str, ...]]] = {
        "loss": (_mean, ("loss",)),
        "accuracy": (_mean, ("correct",)),
        "mse": (_mean, ("squared",)),
        "mae": (_mean, ("absolute",)),
        "rmse": (_root_mean, ("squared",)),
        "auc": (_auc, ("probability", "positive")),
        "ap": (_ap, ("probability", "positive")),
        "iou": (_iou, ("shared", "predicted", "true")),
        "dice": (_dice, ("shared", "predicted", "true")),
        **{name: (_mean_of_known, (name,)) for name in ("psnr_y", "ssim", "pattern")},
    }
    make, names = makers.get(metric, (_mean, (metric,)))
    return make(*(outcomes[name] for name in names)) if all(name in outcomes for name in names) else None


def resampled(statistics: Sequence[Statistic], rows: int, seed: int, resamples: int = RESAMPLES) -> Floats:
    """Each statistic on the same `resamples` bootstrap samples of `rows` rows, (R, M)."""
    generator = np.random.default_rng(seed)
    resamples_RS = np.empty((resamples, len(statistics)))
    for at in range(resamples):
        counts_N = np.bincount(generator.integers(rows, size=rows), minlength=rows).astype(float)
        resamples_RS[at] = [of(counts_N) for of in statistics]
    return resamples_RS


def middle(values_R: Floats) -> tuple[float, float]:
    """The 95 % percentile interval of the resamples, without NaN (such as a resample without rows of a class)."""
    low, high = np.nanpercentile(values_R, MIDDLE)
    return float(low), float(high)


def difference(found: float, first_R: Floats, second_R: Floats) -> Difference:
    """Difference of two models from their resampled statistics; p is two-sided, at least 2 / (R + 1)."""
    differences = first_R - second_R
    differences = differences[np.isfinite(differences)]
    low, high = middle(differences)
    tail = 1 + min(int((differences <= 0).sum()), int((differences >= 0).sum()))
    return Difference(found, low, high, min(1.0, 2 * tail / (len(differences) + 1)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm-adjusted p-values: the k-th smallest of m times m - k + 1, made monotone."""
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(np.asarray(p_values, float)[order] * factors))
    return [float(p) for p in adjusted]


def _mean(values_N: NDArray[Any]) -> Statistic:
    values = values_N.astype(float)
    return lambda counts_N: float(counts_N @ values / counts_N.sum())


def _mean_of_known(values_N: NDArray[Any]) -> Statistic:
    """Mean over images with a value, as in the metric; images smaller than SSIM's window have none."""
    known = ~np.isnan(values_N)
    values = np.where(known, values_N, 0.0)

    def mean(counts_N: Floats) -> float:
        rows = counts_N @ known
        return float(counts_N @ values / rows) if rows else np.nan

    return mean


def _root_mean(values_N: NDArray[Any]) -> Statistic:
    mean = _mean(values_N)
    return lambda counts_N: float(np.sqrt(mean(counts_N)))


def _iou(shared_N: NDArray[Any], predicted_N: NDArray[Any], true_N: NDArray[Any]) -> Statistic:
    """Intersection over union of predicted and true pixels."""
    return _share(shared_N, predicted_N + true_N - shared_N)


def _dice(shared_N: NDArray[Any], predicted_N: NDArray[Any], true_N: NDArray[Any]) -> Statistic:
    return _share(2 * shared_N, predicted_N + true_N)


def _share(part_N: NDArray[Any], whole_N: NDArray[Any]) -> Statistic:
    """Ratio of the sums over the rows; 0 if the denominator is 0."""
    return lambda counts_N: float(counts_N @ part_N / max(1, counts_N @ whole_N))


def _auc(probability_N: NDArray[Any], positive_N: NDArray[Any]) -> Statistic:
    """Area under the ROC curve; rows of equal score form one step."""
    sums = _by_threshold(probability_N, positive_N)

    def area(counts_N: Floats) -> float:
        hits, alarms = sums(counts_N)
        between = (hits[1:] + hits[:-1]) / 2
        return float(np.diff(alarms) @ between / (hits[-1] * alarms[-1])) if hits[-1] and alarms[-1] else np.nan

    return area


def _ap(probability_N: NDArray[Any], positive_N: NDArray[Any]) -> Statistic:
    """Average precision; rows of equal score are grouped."""
    sums = _by_threshold(probability_N, positive_N)

    def precision(counts_N: Floats) -> float:
        hits, alarms = sums(counts_N)
        predicted = np.maximum(hits + alarms, 1)[1:]
        return float(np.diff(hits) @ (hits[1:] / predicted) / hits[-1]) if hits[-1] else np.nan

    return precision


def _by_threshold(probability_N: NDArray[Any], positive_N: NDArray[Any]) -> Callable[[Floats], tuple[Floats, Floats]]:
    """Cumulative positives and negatives at each threshold, from none to all."""
    order = np.argsort(-probability_N, kind="stable")
    ends = np.flatnonzero(np.diff(probability_N[order], append=np.nan))  # last index of each group of equal scores
    positive = positive_N[order].astype(float)

    def sums(counts_N: Floats) -> tuple[Floats, Floats]:
        counts = counts_N[order]
        hits, every = np.cumsum(counts * positive)[ends], np.cumsum(counts)[ends]
        return np.concatenate([[0.0], hits]), np.concatenate([[0.0], every - hits])

    return sums
