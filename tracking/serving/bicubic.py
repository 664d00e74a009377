"""Bicubic resampling as the literature of super-resolution has it: MATLAB's `imresize`, with antialiasing.

Source: Keys 1981, doi:10.1109/TASSP.1981.1163711, equation 15 (a = -1/2); as in `imresize` the kernel is widened when
pictures shrink, and their border is mirrored.
Preparation makes coarse pictures by it, and networks enlarge by it what they are given.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

WIDTH = 4
"""Pixels that the kernel reaches over."""


@lru_cache(maxsize=64)
def resampling(before: int, after: int) -> NDArray[np.float64]:
    """The matrix (after, before) that takes an axis of `before` pixels to one of `after`; each row adds up to 1."""
    scale = after / before
    # a picture that shrinks is blurred first: the kernel grows by as much
    stretch = min(scale, 1.0)
    reach = WIDTH / stretch
    centres_A = (np.arange(after) + 1 / 2) / scale - 1 / 2
    first_A = np.floor(centres_A - reach / 2).astype(int)
    pixels_AK = first_A[:, None] + np.arange(int(np.ceil(reach)) + 2)
    weights_AK = cubic(stretch * (centres_A[:, None] - pixels_AK))
    weights_AK /= weights_AK.sum(axis=1, keepdims=True)
    mirrored = np.concatenate([np.arange(before), np.arange(before)[::-1]])
    found = np.zeros((after, before))
    np.add.at(found, (np.arange(after)[:, None], mirrored[pixels_AK % (2 * before)]), weights_AK)
    found.flags.writeable = False  # all callers share it
    return found


def cubic(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' kernel at a distance in pixels; 0 from 2 on."""
    d = np.abs(distance)
    near, far = 1.5 * d**3 - 2.5 * d**2 + 1, -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
    return np.where(d <= 1, near, np.where(d < WIDTH / 2, far, 0.0))


def resampled(image_CHW: NDArray[np.generic], height: int, width: int) -> NDArray[np.float64]:
    """A picture (C, H, W) in another size, in its own units, neither rounded nor clipped."""
    rows, columns = resampling(image_CHW.shape[1], height), resampling(image_CHW.shape[2], width)
    made: NDArray[np.float64] = rows @ image_CHW.astype(np.float64) @ columns.T
    return made
