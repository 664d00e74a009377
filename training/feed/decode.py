"""From a shard's Parquet columns to dense arrays, and from arrays to the tensors of a batch.

A shard becomes a dict of arrays, rows first: `numbers` float32 (n, D) and `categories` int64 (n, D) of a table's
scalars, each tensor column in its own dtype and shape, each list as int64 (n, longest) with `<name>.length` (n,), the
target and the weight as `target` and `weight`. Both engines hand over Arrow columns, so both come out the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from tracking.faults import BadData
from tracking.manifest import Column, InputField, Signature

Arrays = dict[str, NDArray[Any]]
TARGET, WEIGHT = "target", "weight"
LENGTH = ".length"


def columns_read(signature: Signature) -> list[str]:
    """Names of the Parquet columns that a signature needs."""
    fields = [*signature.inputs, *([signature.target] if signature.target else [])]
    names = [column.name for field in fields for column in field.columns]
    return [*dict.fromkeys(names), *([WEIGHT] if signature.weighted else [])]


def row_bytes(signature: Signature) -> int:
    """Bytes of a decoded row: what a window and a cache are measured by."""
    total = 4 if signature.weighted else 0
    for field in [*signature.inputs, *([signature.target] if signature.target else [])]:
        first = field.columns[0]
        dtype = first.dtype if first.layout == "tensor" else field.dtype
        total += int(np.prod(field.shape)) * np.dtype(dtype).itemsize + (8 if first.layout == "list" else 0)
    return max(1, total)


def arrays(columns: Mapping[str, pa.ChunkedArray], signature: Signature, where: object) -> Arrays:
    """Dense arrays of a shard's columns. Raises BadData for nulls and for values of another width or dtype."""
    found: Arrays = {}
    for field in signature.inputs:
        found |= _field(field, field.name, columns, where)
    if signature.target:
        found |= _field(signature.target, TARGET, columns, where)
    if signature.weighted:
        found[WEIGHT] = _scalar(columns[WEIGHT], np.dtype(np.float32), f"{where}: {WEIGHT}")
    return found


def tensors(rows: Mapping[str, NDArray[Any]], field: InputField, name: str) -> list[Tensor]:
    """The tensors of one field from rows of its array: float32 or int64, its affine map applied; lists padded."""
    values = rows[name]
    first = field.columns[0]
    if first.layout == "list":
        lengths = rows[name + LENGTH]
        longest = max(1, int(lengths.max(initial=0)))
        return [torch.from_numpy(np.ascontiguousarray(values[:, :longest])), torch.from_numpy(lengths)]
    made = torch.from_numpy(values).to(torch.int64 if field.dtype == "int64" else torch.float32)
    if first.affine is not None and len(field.columns) == 1:
        made = (made - first.affine.offset) * first.affine.factor if first.affine.offset else made * first.affine.factor
    return [made]


def _field(field: InputField, name: str, columns: Mapping[str, pa.ChunkedArray], where: object) -> Arrays:
    first = field.columns[0]
    told = f"{where}: {first.name}"
    if first.layout == "tensor":
        return {name: _tensor(columns[first.name], first, told)}
    if first.layout == "list":
        values, lengths = _list(columns[first.name], first, told)
        return {name: values, name + LENGTH: lengths}
    dtype = np.dtype(field.dtype)
    if name == TARGET or field.name == first.name:
        return {name: _scalar(columns[first.name], dtype, told)}
    side_by_side = [_scalar(columns[column.name], dtype, f"{where}: {column.name}") for column in field.columns]
    return {name: np.stack(side_by_side, axis=1)}


def _scalar(column: pa.ChunkedArray, dtype: np.dtype[Any], where: str) -> NDArray[Any]:
    if column.null_count:
        raise BadData.at(where, f"{column.null_count} values are missing; validate or impute them in the preparation")
    return np.ascontiguousarray(column.to_numpy(), dtype=dtype)


def _tensor(column: pa.ChunkedArray, meta: Column, where: str) -> NDArray[Any]:
    dtype = np.dtype(meta.dtype).newbyteorder("<")
    width = int(np.prod(meta.shape)) * dtype.itemsize
    parts = [_binary(chunk, width, where).view(dtype).reshape(-1, *meta.shape) for chunk in column.chunks if len(chunk)]
    return parts[0] if len(parts) == 1 else np.concatenate([np.zeros((0, *meta.shape), dtype), *parts])


def _binary(chunk: pa.Array, width: int, where: str) -> NDArray[np.uint8]:
    """The values of a binary array as one run of bytes, without a copy."""
    if chunk.null_count:
        raise BadData.at(where, f"{chunk.null_count} values are missing")
    _, offsets_buffer, values = chunk.buffers()
    wide = np.int64 if pa.types.is_large_binary(chunk.type) else np.int32
    offsets = np.frombuffer(offsets_buffer, wide)[chunk.offset : chunk.offset + len(chunk) + 1]
    if not np.all(np.diff(offsets) == width):
        raise BadData.at(where, f"values of other than {width} bytes; the manifest says so many")
    return np.frombuffer(values, np.uint8)[int(offsets[0]) : int(offsets[-1])]


def _list(column: pa.ChunkedArray, meta: Column, where: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    if column.null_count:
        raise BadData.at(where, f"{column.null_count} lists are missing")
    whole = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    offsets = np.asarray(whole.offsets, np.int64)
    lengths = np.diff(offsets)
    longest = int(meta.shape[0])
    if lengths.max(initial=0) > longest:
        raise BadData.at(where, f"a list of {lengths.max()} values; the manifest says {longest} at the most")
    padded = np.zeros((len(lengths), longest), np.int64)
    places = np.arange(longest) < lengths[:, None]
    padded[places] = np.asarray(whole.values, np.int64)[offsets[0] : offsets[-1]]
    return padded, lengths
