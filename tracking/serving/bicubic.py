"""Bicubic resampling as in the super-resolution literature: MATLAB's `imresize`, with antialiasing.

Source: Keys 1981, doi:10.1109/TASSP.1981.1163711, equation 15 (a = -1/2); as in `imresize` the kernel is widened for
downsampling, and borders are mirrored.
Used in preparation to downsample images, and in networks to upsample their input.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

WIDTH = 4
"""Kernel width in pixels."""


@lru_cache(maxsize=64)
def resampling(before: int, after: int) -> NDArray[np.float64]:
    """Matrix (after, before) that resamples an axis of `before` pixels to `after`; rows sum to 1."""
    scale = after / before
    # antialiasing: the kernel grows with the downsampling factor
    stretch = min(scale, 1.0)
    reach = WIDTH / stretch
    centres_A = (np.arange(after) + 1 / 2) / scale - 1 / 2
    first_A = np.floor(centres_A - reach / 2).astype(int)
    pixels_AK = first_A[:, None] + np.arange(int(np.ceil(reach)) + 2)
    weights_AK = cubic(stretch * (centres_A[:, None] - pixels_AK))
    weights_AK /= weights_AK.sum(axis=1, keepdims=True)
    mirrored = np.concatenate([np.arange(before), np.arange(before)[::-1]])
    matrix = np.zeros((after, before))
    np.add.at(matrix, (np.arange(after)[:, None], mirrored[pixels_AK % (2 * before)]), weights_AK)
    matrix.flags.writeable = False  # cached and shared by all callers
    return matrix


def cubic(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' kernel at a distance in pixels; 0 from 2 on."""
    d = np.abs(distance)
    near, far = 1.5 * d**3 - 2.5 * d**2 + 1, -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
    return np.where(d <= 1, near, np.where(d < WIDTH / 2, far, 0.0))


def resampled(image_CHW: NDArray[np.generic], height: int, width: int) -> NDArray[np.float64]:
    """An image (C, H, W) resampled to another size, in its own units, neither rounded nor clipped."""
    rows, columns = resampling(image_CHW.shape[1], height), resampling(image_CHW.shape[2], width)
    made: NDArray[np.float64] = rows @ image_CHW.astype(np.float64) @ columns.T
    return made
