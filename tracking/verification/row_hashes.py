"""64-bit row hashes, the same in every process, to find duplicates in large data.

Whole columns are hashed at once, eight bytes at a time. Among 10**9 rows the probability of any collision is 3 %, so
matches are compared again before they are reported.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from millstream.tracking.verification.content_digest import contents

Hashes = NDArray[np.uint64]

_WORD = 8
_BLOCK_BYTES = 256 << 10
"""Approximate bytes mixed at once: fits in a core's cache."""
_NULL = np.uint64(0x9E3779B97F4A7C15)
_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def of_rows(piece: pa.RecordBatch, names: Sequence[str]) -> Hashes:
    """Hash of the values of these columns, per row."""
    hashes_N = np.zeros(len(piece), np.uint64)
    for name in names:
        hashes_N = _mixed(hashes_N * np.uint64(31) + of_values(piece.column(piece.schema.get_field_index(name))))
    return hashes_N


def of_values(values: pa.Array) -> Hashes:
    """Hash per value: equal for equal values (0 and -0 too), and one constant for nulls."""
    kind = values.type
    if pa.types.is_null(kind):
        return np.full(len(values), _NULL)
    if pa.types.is_list(kind) or pa.types.is_string(kind) or pa.types.is_binary(kind):
        rows = max(1, _BLOCK_BYTES * len(values) // max(1, values.nbytes))
        blocks = [values.slice(start, rows) for start in range(0, len(values), rows)]
        hashes_N = np.concatenate([np.empty(0, np.uint64), *(_of_bytes(*contents(block)) for block in blocks)])
    elif pa.types.is_floating(kind):
        numbers = values.cast(pa.float64()).fill_null(0.0).to_numpy(zero_copy_only=False) + 0.0
        hashes_N = _mixed(np.where(np.isnan(numbers), np.nan, numbers).view(np.uint64))
    else:
        whole = values.cast(pa.timestamp("us", kind.tz)) if pa.types.is_timestamp(kind) else values
        hashes_N = _mixed(whole.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False).view(np.uint64))
    return hashes_N if values.null_count == 0 else np.where(_is_valid(values), hashes_N, _NULL)


def _of_bytes(content: memoryview, borders: NDArray[np.int64]) -> Hashes:
    """Sum of each value's 8-byte words mixed with their position, mixed with the length."""
    lengths = np.diff(borders)
    taken = np.frombuffer(content, np.uint8)[borders[0] : borders[-1]]
    words = np.maximum(1, -(-lengths // _WORD))
    if (lengths == lengths[0]).all():
        padded = np.zeros((len(lengths), int(words[0]) * _WORD), np.uint8)
        padded[:, : lengths[0]] = taken.reshape(len(lengths), int(lengths[0]))
        places = np.arange(1, words[0] + 1).astype(np.uint64) * _STEP
        sums = _mixed(padded.view("<u8") ^ places).sum(axis=1, dtype=np.uint64)
    else:
        first = np.cumsum(words) - words
        padded = np.zeros(int(words.sum()) * _WORD, np.uint8)
        moved = first * _WORD - (borders[:-1] - borders[0])
        padded[np.arange(len(taken)) + np.repeat(moved, lengths)] = taken
        places = (np.arange(1, len(padded) // _WORD + 1) - np.repeat(first, words)).astype(np.uint64) * _STEP
        sums = np.add.reduceat(_mixed(padded.view("<u8") ^ places), first)
    return _mixed(sums ^ lengths.astype(np.uint64))


def _is_valid(values: pa.Array) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = values.is_valid().to_numpy(zero_copy_only=False)
    return found


def _mixed(numbers: Hashes) -> Hashes:
    """splitmix64's finaliser: similar numbers get dissimilar hashes."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * _MIX[0]
    numbers = (numbers ^ (numbers >> np.uint64(27))) * _MIX[1]
    mixed: Hashes = numbers ^ (numbers >> np.uint64(31))
    return mixed
