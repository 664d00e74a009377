"""Prepared rows as arrays: the inputs of a network or estimator, equal to those of the feed for the same values."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from millstream.tracking.dataset.records import Column
from millstream.tracking.dataset.signature import InputField, Signature
from millstream.tracking.errors import BadData


class Padded(NamedTuple):
    """Rows of different lengths, right-padded with zeros to the longest."""

    values_BT: NDArray[np.int64]
    lengths_B: NDArray[np.int64]


Inputs = tuple[NDArray[Any] | Padded, ...]


def arrays(prepared: pd.DataFrame, signature: Signature) -> Inputs:
    """The inputs in the order of the signature, first axis the rows; contiguous, and their own memory."""
    return tuple(_value(prepared, field) for field in signature.inputs)


def _value(prepared: pd.DataFrame, field: InputField) -> NDArray[Any] | Padded:
    first = field.columns[0]
    if first.layout == "list":
        return _padded(list(prepared[first.name]))
    if first.layout == "tensor":
        values = _tensors(list(prepared[first.name]), first, field.shape)
    else:
        values = np.stack([np.asarray(prepared[column.name]) for column in field.columns], axis=1)
    values = values.astype(field.dtype)
    if first.affine is not None:
        values -= np.float32(first.affine.offset)
        values *= np.float32(first.affine.factor)
    return np.ascontiguousarray(values, dtype=field.dtype)


def _tensors(rows: list[Any], column: Column, shape: tuple[int, ...]) -> NDArray[Any]:
    dtype, count = np.dtype(column.dtype).newbyteorder("<"), math.prod(shape)
    size = count * dtype.itemsize
    if all(isinstance(row, bytes) and len(row) == size for row in rows):
        # at once: row by row it takes as long as a small network
        return np.frombuffer(b"".join(rows), dtype).reshape(len(rows), *shape)
    return np.stack([_array(row, column, shape) for row in rows])


def _array(value: Any, column: Column, shape: tuple[int, ...]) -> NDArray[Any]:
    """A tensor from raw little-endian bytes, or from a (nested) list or array of numbers; `shape` is that of a window
    where the column holds blocks."""
    dtype = np.dtype(column.dtype).newbyteorder("<")
    is_bytes = isinstance(value, bytes | bytearray | memoryview)
    found = np.frombuffer(value, dtype) if is_bytes else np.asarray(list(value)).astype(dtype)
    if found.size != np.prod(shape):
        raise BadData.at(f"column {column.name!r}", f"{found.size} numbers in a row; expected the shape {shape}")
    return found.reshape(shape)


def _padded(rows: list[Any]) -> Padded:
    lengths = [len(row) for row in rows]
    values = np.zeros((len(rows), max(lengths)), np.int64)
    for at, row in enumerate(rows):
        values[at, : len(row)] = row
    return Padded(values, np.array(lengths, np.int64))
