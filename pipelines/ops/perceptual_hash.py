"""Similarity signatures: the perceptual hash of an image, and the MinHash of a text's shingles.

Axes: N images or texts, P pixels or permutations, C channels, H height, W width, S shingles.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn

PERMUTATIONS = 128
SIDE, _LOW = 32, 8
_MISSED = 1e-4
"""Largest probability that a pair exactly at the similarity threshold shares no band."""


def thumbnail(image_CHW: NDArray[np.generic]) -> NDArray[np.float32]:
    """The image in grey, 32 x 32, 0 .. 255."""
    grey_HW = image_CHW.astype(np.float32).mean(axis=0)
    if not np.issubdtype(image_CHW.dtype, np.integer):
        grey_HW = grey_HW * 255
    return np.asarray(Image.fromarray(grey_HW).resize((SIDE, SIDE), Image.Resampling.LANCZOS))


def image_hash(image_CHW: NDArray[np.generic]) -> int:
    """Signed 64-bit perceptual hash: a bit for each low DCT frequency, set if above their median.

    Similar images differ in few bits; images of a single colour are equal. Zauner 2010, Implementation and Benchmarking
    of Perceptual Image Hash Functions.
    """
    return thumbnail_hash(thumbnail(image_CHW))


def thumbnail_hash(small_HW: NDArray[np.float32]) -> int:
    """The perceptual hash of an image from its thumbnail."""
    # rounded, so that absent frequencies are equal and not noise in the last bit
    low = np.round(dctn(small_HW.astype(np.float64), norm="ortho")[:_LOW, :_LOW], 3)
    bits = np.packbits(low.ravel() > np.median(low))
    return int(bits.view(">i8")[0])


def correlations(one_NP: NDArray[np.uint8], other_NP: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Pearson correlation of the pixels of each pair, invariant to brightness and contrast; 1 for equal ones."""
    first_NP, second_NP = (pixels - pixels.mean(axis=1, keepdims=True) for pixels in (one_NP, other_NP))
    scale_N = np.sqrt((first_NP**2).sum(axis=1) * (second_NP**2).sum(axis=1))
    alike_N = np.divide((first_NP * second_NP).sum(axis=1), scale_N, out=np.zeros(len(scale_N)), where=scale_N > 0)
    return np.where((one_NP == other_NP).all(axis=1), 1.0, alike_N)


def bit_bands(distance: int) -> list[tuple[int, int]]:
    """(shift, bits) of `distance` + 1 bands: hashes that differ in at most `distance` bits agree in one of them."""
    ends = [64 * at // (distance + 1) for at in range(distance + 2)]
    return [(start, end - start) for start, end in pairwise(ends)]


def shingles(text: str, length: int) -> NDArray[np.uint64]:
    """Hashes of the distinct shingles of `length` characters; of the whole text when it is shorter."""
    codes = np.frombuffer(text.encode("utf-32-le"), "<u4").astype(np.uint64) + np.uint64(1)
    windows = np.lib.stride_tricks.sliding_window_view(codes, min(length, len(codes))) if len(codes) else codes[None]
    hashes = np.zeros(len(windows), np.uint64)
    for place in range(windows.shape[1]):
        hashes = _mixed(hashes ^ windows[:, place])
    return np.unique(hashes)


def signature(shingles_S: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """MinHash signature (P,): the expected share of equal elements of two texts is their Jaccard index.

    Broder 1997, doi:10.1109/SEQUEN.1997.666900.
    """
    keys_P = _mixed(np.arange(1, PERMUTATIONS + 1, dtype=np.uint64))
    least_P: NDArray[np.uint64] = _mixed(shingles_S[:, None] ^ keys_P[None]).min(axis=0)
    return least_P


def rows_a_band(similarity: float) -> int:
    """The most MinHash rows per band that miss pairs of this similarity with a probability of at most 1e-4."""
    good = [rows for rows in range(1, 17) if (1 - similarity**rows) ** (PERMUTATIONS // rows) <= _MISSED]
    return max(good, default=1)


def band_keys(signature_P: NDArray[np.uint64], rows: int) -> NDArray[np.int64]:
    """A key for each band of `rows` MinHash rows; equal keys make a candidate pair."""
    bands = signature_P[: len(signature_P) // rows * rows].reshape(-1, rows)
    keys = np.arange(1, len(bands) + 1, dtype=np.uint64)
    for place in range(rows):
        keys = _mixed(keys ^ bands[:, place])
    return keys.view(np.int64)


def bit_keys(hash_: int, distance: int) -> list[int]:
    """A key for each band of an image's hash; equal keys make a candidate pair."""
    bands = [(hash_ >> shift) & ((1 << bits) - 1) for shift, bits in bit_bands(distance)]
    keys = _mixed(np.array(bands, np.uint64) ^ _mixed(np.arange(len(bands), dtype=np.uint64)))
    listed: list[int] = keys.view(np.int64).tolist()
    return listed


def jaccard(one_S: NDArray[np.uint64], other_S: NDArray[np.uint64]) -> float:
    """Jaccard index of two sets of shingles."""
    common = len(np.intersect1d(one_S, other_S, assume_unique=True))
    return common / (len(one_S) + len(other_S) - common)


def _mixed(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """splitmix64, a bijective hash of 64-bit integers."""
    z = z + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: NDArray[np.uint64] = z ^ (z >> np.uint64(31))
    return mixed
