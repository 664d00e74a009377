"""Order-independent content digest of Parquet rows: a sum of row hashes.

A sum counts duplicates (XOR would cancel them), and needs no order. The row encoding is simple enough to be
reimplemented in any language: columns sorted by name; a fixed-width value as a byte 1 and its little-endian bytes
(a time as microseconds since 1970, int64); a text, binary or list as a byte 1, its length (8 bytes, little endian) and
its bytes; a null as a byte 0.

Columns at a fixed offset and width are laid out for all rows at once; variable-length texts and lists are inserted
between. So a row costs one join and one hash, whatever the number of columns.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

MODULUS = 1 << 128
_HASH_BYTES = 16
_BLOCK_BYTES = 4 << 20
"""Approximate bytes laid out at once: fits in a processor's cache."""
_SHORT_BYTES = 64
"""Fixed-length texts up to this size are laid out with the numbers; longer ones are cheaper separately."""

Bytes = NDArray[np.uint8]


def rows_digest(file: Path) -> int:
    """Sum of the BLAKE2b-128 hashes of a file's rows, modulo 2**128."""
    with pq.ParquetFile(file) as parquet:
        return batches_digest(parquet.iter_batches(batch_size=8192, use_threads=False))


def batches_digest(batches: Iterable[pa.RecordBatch]) -> int:
    """The same sum over record batches in memory."""
    total = 0
    for batch in batches:
        rows = max(1, _BLOCK_BYTES * batch.num_rows // max(1, batch.nbytes))
        for start in range(0, batch.num_rows, rows):
            total += _block_digest(batch.slice(start, rows))
    return total % MODULUS


def hexadecimal(digest: int) -> str:
    """32 hexadecimal digits."""
    return f"{digest % MODULUS:032x}"


def _block_digest(block: pa.RecordBatch) -> int:
    blake2b, size = hashlib.blake2b, _HASH_BYTES
    hashes = b"".join([blake2b(row, digest_size=size).digest() for row in _rows(block)])
    # in four parts of 32 bits, whose sums do not overflow
    parts = np.frombuffer(hashes, "<u4").reshape(-1, 4).sum(axis=0, dtype=np.uint64).tolist()
    return sum(part << (32 * at) for at, part in enumerate(parts))


def _rows(block: pa.RecordBatch) -> Iterator[bytes]:
    """Each row, encoded."""
    pieces: list[Sequence[bytes | memoryview]] = []
    beside: list[Bytes] = []
    for name in sorted(block.schema.names):
        heads, content = _encoded(block.column(block.schema.get_field_index(name)))
        if heads is not None:
            beside.append(heads)
        if content is not None:
            pieces += [*_laid_out(beside), content]
            beside = []
    pieces += _laid_out(beside)
    return map(b"".join, zip(*pieces, strict=True))


def _laid_out(beside: list[Bytes]) -> list[list[bytes]]:
    """One bytes object per row of the adjacent fixed-width columns; empty if there are none."""
    if not beside:
        return []
    whole = np.concatenate(beside, axis=1)
    return [whole.view(f"V{whole.shape[1]}").ravel().tolist()]


def _encoded(column: pa.Array) -> tuple[Bytes | None, Sequence[bytes | memoryview] | None]:
    """Fixed-width part of all rows, (rows, width), and the variable-length part after it; either may be None."""
    if column.null_count == len(column):
        return np.zeros((len(column), 1), np.uint8), None
    if column.null_count:
        return None, _with_nulls(column)
    kind = column.type
    if _is_list(kind) or _is_text(kind):
        content, borders = contents(column)
        lengths = np.diff(borders)
        heads = _flagged(lengths.astype("<u8").view(np.uint8).reshape(-1, 8))
        width = int(lengths[0])
        if width <= _SHORT_BYTES and (lengths == width).all():
            same = np.frombuffer(content, np.uint8)[borders[0] : borders[-1]].reshape(len(column), width)
            return np.concatenate([heads, same], axis=1), None
        ends = borders.tolist()
        return heads, [content[start:end] for start, end in pairwise(ends)]
    values = _values(column)
    return _flagged(values.view(np.uint8).reshape(len(values), -1)), None


def _with_nulls(column: pa.Array) -> list[bytes]:
    """Each value, encoded separately."""
    there = _rows(pa.RecordBatch.from_arrays([column.drop_null()], ["value"]))
    return [next(there) if valid else b"\0" for valid in column.is_valid().to_pylist()]


def contents(column: pa.Array) -> tuple[memoryview, NDArray[np.int64]]:
    """Concatenated bytes of all texts, binaries or lists, and their offsets (one more than values).

    The bytes of a null are undefined. Raises TypeError for lists of integers with nulls.
    """
    wide = pa.types.is_large_list(column.type) or pa.types.is_large_string(column.type)
    wide = wide or pa.types.is_large_binary(column.type)
    offsets = np.frombuffer(column.buffers()[1], np.int64 if wide else np.int32)
    borders = offsets[column.offset : column.offset + len(column) + 1].astype(np.int64)
    if _is_list(column.type):
        values = _values(column.values)
        return values.view(np.uint8).data, borders * values.itemsize
    content = column.buffers()[2]
    return memoryview(content if content is not None else b""), borders


def _values(column: pa.Array) -> NDArray[np.generic]:
    """Numbers, times and booleans as little-endian bytes; a null number within a list is NaN."""
    kind = column.type
    if pa.types.is_boolean(kind):
        column, kind = column.cast(pa.uint8()), pa.uint8()
    elif pa.types.is_timestamp(kind):
        column, kind = column.cast(pa.timestamp("us", kind.tz)).cast(pa.int64()), pa.int64()
    if column.null_count and not pa.types.is_floating(kind):
        raise TypeError(f"lists of {kind} with missing values have no encoding")
    dtype = np.dtype(kind.to_pandas_dtype()).newbyteorder("<")
    return np.ascontiguousarray(column.to_numpy(zero_copy_only=False), dtype)


def _flagged(values: Bytes) -> Bytes:
    return np.concatenate([np.ones((len(values), 1), np.uint8), values], axis=1)


def _is_text(kind: pa.DataType) -> bool:
    texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    return any(is_kind(kind) for is_kind in texts)


def _is_list(kind: pa.DataType) -> bool:
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        return False
    if not (pa.types.is_integer(kind.value_type) or pa.types.is_floating(kind.value_type)):
        raise TypeError(f"lists of {kind.value_type} have no encoding")
    return True
