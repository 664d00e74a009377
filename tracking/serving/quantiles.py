"""Quantile transform of numbers to a uniform distribution over 0 to 1, or a normal one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

_EDGE = 1e-7
"""Probabilities are clipped to this distance from 0 and 1 (infinite for a normal), about 5.2 standard deviations."""


def forward(values: NDArray[Any], quantiles: Sequence[float], distribution: str) -> NDArray[np.float32]:
    """Empirical CDF of train at each value (0 to 1), linear between quantiles; as a normal deviate for `normal`.

    `quantiles` are at even probabilities from 0 to 1. Tied values map to the middle of their range.
    """
    ends, x = np.asarray(quantiles, np.float64), values.astype(np.float64)
    at = np.linspace(0.0, 1.0, len(ends))
    # interpolated from below and above: ties yield both ends of their range, averaged
    share = 0.5 * (np.interp(x, ends, at) - np.interp(-x, -ends[::-1], -at[::-1]))
    share = np.where(x <= ends[0], 0.0, np.where(x >= ends[-1], 1.0, share))
    return (ndtri(np.clip(share, _EDGE, 1 - _EDGE)) if distribution == "normal" else share).astype(np.float32)


def backward(shares: NDArray[Any], quantiles: Sequence[float], distribution: str) -> NDArray[np.float64]:
    """Inverse of `forward`; values outside the range of train return as its minimum or maximum."""
    ends, share = np.asarray(quantiles, np.float64), shares.astype(np.float64)
    values_N: NDArray[np.float64] = np.interp(
        ndtr(share) if distribution == "normal" else share, np.linspace(0, 1, len(ends)), ends
    )
    return values_N
