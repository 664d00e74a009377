"""What is alike has like figures: a hash of a picture's coarse pattern, and minimal hashes of a text's shingles.

Axes: N pictures, C channels, H height, W width, S shingles, P permutations.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn

PERMUTATIONS = 128
_SIDE, _LOW = 32, 8
_MISSED = 1e-4
"""Chance that a pair just as similar as asked for shares no band."""


def picture_hash(image_CHW: NDArray[np.generic]) -> int:
    """64 bits, signed, one a low frequency: whether it is stronger than their median. Like pictures differ in few bits.

    Zauner 2010, Implementation and Benchmarking of Perceptual Image Hash Functions. Pictures of one colour are equal.
    """
    grey_HW = image_CHW.astype(np.float32).mean(axis=0)
    if not np.issubdtype(image_CHW.dtype, np.integer):
        grey_HW = grey_HW * 255
    small = Image.fromarray(grey_HW).resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    # rounded, so that frequencies that are not there are equal, and not noise of the last bit
    low = np.round(dctn(np.asarray(small, np.float64), norm="ortho")[:_LOW, :_LOW], 3)
    bits = np.packbits(low.ravel() > np.median(low))
    return int(bits.view(">i8")[0])


def bit_bands(distance: int) -> list[tuple[int, int]]:
    """(shift, bits) of `distance` + 1 bands: hashes that differ in `distance` bits at most agree in one of them."""
    ends = [64 * at // (distance + 1) for at in range(distance + 2)]
    return [(start, end - start) for start, end in pairwise(ends)]


def shingles(text: str, length: int) -> NDArray[np.uint64]:
    """Hashes of all different pieces of `length` characters; of the whole text when it is shorter."""
    codes = np.frombuffer(text.encode("utf-32-le"), "<u4").astype(np.uint64) + np.uint64(1)
    windows = np.lib.stride_tricks.sliding_window_view(codes, min(length, len(codes))) if len(codes) else codes[None]
    found = np.zeros(len(windows), np.uint64)
    for place in range(windows.shape[1]):
        found = _mixed(found ^ windows[:, place])
    return np.unique(found)


def signature(shingles_S: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The least hash under each of P permutations: two texts agree in a share of them that is their Jaccard index.

    Broder 1997, doi:10.1109/SEQUEN.1997.666900.
    """
    keys_P = _mixed(np.arange(1, PERMUTATIONS + 1, dtype=np.uint64))
    least_P: NDArray[np.uint64] = _mixed(shingles_S[:, None] ^ keys_P[None]).min(axis=0)
    return least_P


def rows_a_band(similarity: float) -> int:
    """How many minimal hashes make a band, as many as still let nearly no pair of this similarity be missed."""
    good = [rows for rows in range(1, 17) if (1 - similarity**rows) ** (PERMUTATIONS // rows) <= _MISSED]
    return max(good, default=1)


def band_keys(signature_P: NDArray[np.uint64], rows: int) -> NDArray[np.int64]:
    """One key for each band of `rows` minimal hashes; equal keys name a pair worth comparing."""
    bands = signature_P[: len(signature_P) // rows * rows].reshape(-1, rows)
    keys = np.arange(1, len(bands) + 1, dtype=np.uint64)
    for place in range(rows):
        keys = _mixed(keys ^ bands[:, place])
    return keys.view(np.int64)


def _mixed(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """splitmix64: each number to another one, without a pattern."""
    z = z + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    found: NDArray[np.uint64] = z ^ (z >> np.uint64(31))
    return found
