"""Numbers by their place among the quantiles of train: evenly spread over 0 to 1, or normal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

_EDGE = 1e-7
"""A normal law has no value at the shares 0 and 1; they stand at this distance from them, about 5.2 deviations."""


def forward(values: NDArray[Any], quantiles: Sequence[float], law: str) -> NDArray[np.float32]:
    """Each value's share of train in 0 to 1, between two quantiles linearly; as a normal deviate for `normal`.

    `quantiles` are at even shares from 0 to 1. Of a value that many train rows have, the middle of its shares.
    """
    ends, x = np.asarray(quantiles, np.float64), values.astype(np.float64)
    at = np.linspace(0.0, 1.0, len(ends))
    # from below and from above: a run of equal quantiles gives its two ends, and so its middle
    share = 0.5 * (np.interp(x, ends, at) - np.interp(-x, -ends[::-1], -at[::-1]))
    share = np.where(x <= ends[0], 0.0, np.where(x >= ends[-1], 1.0, share))
    return (ndtri(np.clip(share, _EDGE, 1 - _EDGE)) if law == "normal" else share).astype(np.float32)


def backward(shares: NDArray[Any], quantiles: Sequence[float], law: str) -> NDArray[np.float64]:
    """The values whose `forward` is `shares`; those outside of train come back as its lowest or highest."""
    ends, share = np.asarray(quantiles, np.float64), shares.astype(np.float64)
    found: NDArray[np.float64] = np.interp(
        ndtr(share) if law == "normal" else share, np.linspace(0, 1, len(ends)), ends
    )
    return found
