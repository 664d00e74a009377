"""Names the content of Parquet rows, whatever their order: a sum of row hashes.

A sum counts doubled rows (an exclusive or would cancel them), and needs no order. The encoding of a row is plain
enough to be written again in any language: columns in the order of their names; a fixed-width value as one byte 1 and
its little-endian bytes (of a time its microseconds since 1970, int64); a text, binary or list as one byte 1, its
length (8 bytes, little endian) and its bytes; a null as one byte 0.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

MODULUS = 1 << 128
_HASH_BYTES = 16


def rows_digest(file: Path) -> int:
    """The sum over a file's rows of their BLAKE2b-128 hashes, modulo 2**128."""
    total = 0
    parquet = pq.ParquetFile(file)
    for batch in parquet.iter_batches(batch_size=8192):
        names = sorted(batch.schema.names)
        encoded = [_encoded(batch.column(batch.schema.get_field_index(name))) for name in names]
        for row in zip(*encoded, strict=True):
            total += int.from_bytes(hashlib.blake2b(b"".join(row), digest_size=_HASH_BYTES).digest(), "little")
    return total % MODULUS


def hexadecimal(digest: int) -> str:
    """32 hexadecimal digits."""
    return f"{digest % MODULUS:032x}"


def _encoded(column: pa.Array) -> list[bytes]:
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        inner = pa.types.is_integer(kind.value_type) or pa.types.is_floating(kind.value_type)
        if not inner:
            raise TypeError(f"lists of {kind.value_type} have no encoding")
        dtype = np.dtype(kind.value_type.to_pandas_dtype()).newbyteorder("<")
        return [b"\0" if row is None else _sized(np.asarray(row, dtype).tobytes()) for row in column.to_pylist()]
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return [b"\0" if row is None else _sized(row.encode()) for row in column.to_pylist()]
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return [b"\0" if row is None else _sized(row) for row in column.to_pylist()]
    if pa.types.is_boolean(kind):
        return [b"\0" if row is None else b"\1" + bytes([row]) for row in column.to_pylist()]
    if pa.types.is_timestamp(kind):
        column, kind = column.cast(pa.timestamp("us", kind.tz)).cast(pa.int64()), pa.int64()
    dtype = np.dtype(kind.to_pandas_dtype()).newbyteorder("<")
    filled = column.fill_null(0) if column.null_count else column
    raw = np.ascontiguousarray(filled.to_numpy(zero_copy_only=False), dtype).tobytes()
    width = dtype.itemsize
    values = [b"\1" + raw[at : at + width] for at in range(0, len(raw), width)]
    if column.null_count:
        values = [value if valid else b"\0" for value, valid in zip(values, column.is_valid().to_pylist(), strict=True)]
    return values


def _sized(content: bytes) -> bytes:
    return b"\1" + len(content).to_bytes(8, "little") + content
