"""Memory layout of rows: Parquet columns to dense arrays, and dense arrays to the tensors of a batch.

Arrays keep their stored dtype (uint8 for an image) until collation; only then numbers are cast to float32 and a
column's affine map is applied.
Axes: n rows of a shard, D stacked columns, T longest list or time steps of a block.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import torch
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray
from torch import Tensor

from millstream.tracking.dataset.manifest import Manifest
from millstream.tracking.dataset.records import Affine, Column
from millstream.tracking.dataset.signature import InputField, Signature
from millstream.tracking.dataset.windows import SERIES, Windows
from millstream.tracking.errors import BadData, Refusal
from millstream.training.feed.plan.batch_order import Rows

Array = NDArray[Any]
Arrays = tuple[Array, ...]
Role = Literal["input", "target", "weight"]
NUMERIC = "biuf"


@dataclass(frozen=True)
class Padded:
    """A list column: values (n, T) int64, right-padded with 0, and the lengths (n,) int64."""

    values: Array
    lengths: Array


Dense = Array | Padded


@dataclass(frozen=True)
class Block:
    """One array of the rows in memory, and its conversion to a batch's tensor."""

    field: InputField
    role: Role
    is_lengths: bool = False
    start: int | None = None
    """The time step of a window at which the tensor begins; None: a sample is a whole row."""

    @property
    def first(self) -> Column:
        return self.field.columns[0]

    @property
    def stored(self) -> np.dtype[Any]:
        if self.first.layout == "tensor":
            return np.dtype(self.first.dtype).newbyteorder("<")
        return np.dtype("int64" if self.first.layout == "list" else self.field.dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a sample."""
        return () if self.is_lengths else self.field.shape

    @property
    def held(self) -> tuple[int, ...]:
        """Shape of a row in memory: a sample's, or that of the block from which windows are cut."""
        return self.shape if self.start is None else self.first.shape

    @property
    def sample_bytes(self) -> int:
        return self.stored.itemsize * math.prod(self.shape)

    def samples(self, rows: Array) -> Array:
        """All possible samples of the rows along the first axis, as a view: read-only by convention."""
        if self.start is None:
            return rows
        flat = rows.reshape(-1, *rows.shape[2:])
        steps = self.shape[0]
        starts = max(0, len(flat) - steps + 1)
        # not marked read-only, since torch warns of such arrays
        return as_strided(flat, (starts, steps, *flat.shape[1:]), (flat.strides[0], *flat.strides))

    def places(self, rows: Rows, steps: Rows) -> Rows:
        """Indices into `samples` of the samples of `rows` that begin at the time steps `steps`."""
        return rows if self.start is None else rows * self.held[0] + (self.start + steps)

    def array(self, dense: Mapping[str, Dense], where: object) -> Array:
        """The block of a shard, from its columns. Raises BadData for floats where integers are required."""
        found = dense[self.first.name]
        if isinstance(found, Padded):
            return found.lengths if self.is_lengths else found.values
        if self.first.layout == "tensor":
            return found
        columns = [_cast(dense[column.name], self.stored, column, where) for column in self.field.columns]
        return np.stack(columns, axis=1) if self.shape else columns[0]

    def tensor(self, rows: Tensor) -> Tensor:
        """The batch's tensor from `rows` in stored dtype: y = (x - offset) * factor where there is an affine map."""
        wanted, offset, factor = self._map
        if factor is None:
            return rows.to(wanted)
        made = rows.to(wanted, copy=True)
        return (made if offset is None else made.sub_(offset)).mul_(factor)

    @cached_property
    def is_new(self) -> bool:
        """Whether `tensor` returns a copy, not a view of its rows."""
        wanted, _, factor = self._map
        return factor is not None or wanted != getattr(torch, np.dtype(self.stored).name)

    @cached_property
    def _map(self) -> tuple[torch.dtype, Tensor | None, Tensor | None]:
        """The batch's dtype, and the offset and factor to apply, if any: a scalar, or one value per column."""
        dtype: torch.dtype = getattr(torch, self.field.dtype)
        maps = [column.affine or Affine() for column in self.field.columns]
        if self.is_lengths or all(one == Affine() for one in maps):
            return dtype, None, None
        offset = torch.tensor([one.offset for one in maps], dtype=dtype)
        factor = torch.tensor([one.factor for one in maps], dtype=dtype)
        if len(maps) == 1:
            offset, factor = offset[0], factor[0]
        return dtype, (offset if bool(offset.any()) else None), factor


def blocks_of(signature: Signature, manifest: Manifest) -> tuple[Block, ...]:
    """Blocks of the inputs, targets (both in the signature's order) and weight. A list is followed by its lengths.

    Raises BadData when there is nothing to read, or the signature requires a weight and the dataset has none.
    """
    windows = Windows.of(manifest.steps)
    found: list[Block] = []
    for field in signature.inputs:
        found += _of_field(field, "input", 0 if windows and field.name == SERIES else None)
    for field in signature.targets:
        found += _of_field(field, "target", windows.look_back if windows else None)
    if signature.weighted:
        found.append(Block(_weight(manifest), "weight"))
    if not found:
        raise BadData.at(
            f"{manifest.name}/{manifest.version}", "no column that a network can read; encode one in a step"
        )
    return tuple(found)


def _of_field(field: InputField, role: Role, start: int | None) -> list[Block]:
    is_list = field.columns[0].layout == "list"
    return [Block(field, role, start=start), *([Block(field, role, is_lengths=True)] if is_list else [])]


def columns_of(blocks: tuple[Block, ...]) -> tuple[Column, ...]:
    """The Parquet columns of the blocks, without repetition."""
    return tuple({column.name: column for block in blocks for column in block.field.columns}.values())


def dense(column: Column, values: pa.ChunkedArray, where: object) -> Dense:
    """A Parquet column as one array: tensors (n, *shape) without a copy, scalars (n,), lists padded.

    Raises BadData for a null, for bytes of another width than the column's, and for a list that is too long.
    """
    array = pa.concat_arrays(values.chunks) if values.num_chunks != 1 else values.chunk(0)
    if array.null_count:
        raise _fault(where, column, f"{array.null_count} nulls")
    return _READERS[column.layout](column, array, where)


def _weight(manifest: Manifest) -> InputField:
    for column in manifest.columns:
        if column.role == "weight":
            return InputField(name=column.name, meaning="number", dtype="float32", shape=(), columns=(column,))
    raise BadData.at(f"{manifest.name}/{manifest.version}", "no weight column, and the model's signature has one")


def _tensor(column: Column, array: Any, where: object) -> Array:
    if not (pa.types.is_binary(array.type) or pa.types.is_large_binary(array.type)):
        raise _fault(where, column, f"{array.type}, a tensor is kept as binary")
    _, ends, content = array.buffers()
    kind = np.dtype("<i8" if pa.types.is_large_binary(array.type) else "<i4")
    offsets = np.frombuffer(ends, kind, len(array) + 1, array.offset * kind.itemsize)
    dtype = np.dtype(column.dtype).newbyteorder("<")
    lengths, width = np.diff(offsets), dtype.itemsize * math.prod(column.shape)
    wrong = np.flatnonzero(lengths != width)
    if len(wrong):
        message = (
            f"in row {wrong[0]} {lengths[wrong[0]]} bytes, its shape {column.shape} of {column.dtype} takes {width}"
        )
        raise _fault(where, column, message)
    values = np.frombuffer(content, dtype, len(array) * math.prod(column.shape), int(offsets[0]))
    return values.reshape(len(array), *column.shape)


def _list(column: Column, array: Any, where: object) -> Padded:
    if not (pa.types.is_list(array.type) or pa.types.is_large_list(array.type)):
        raise _fault(where, column, f"{array.type}, the manifest has list")
    values = array.flatten()
    if values.null_count:
        raise _fault(where, column, f"{values.null_count} nulls in its lists")
    flat = _numeric(column, values, where)
    if flat.dtype.kind == "f":
        raise _fault(where, column, f"lists of {flat.dtype}, the manifest has {column.dtype}")
    return _padded(column, flat, np.diff(np.asarray(array.offsets)), where)


def _padded(column: Column, flat: Array, lengths: Array, where: object) -> Padded:
    """The lists concatenated in `flat`, padded to equal length."""
    longest = column.shape[0]
    if len(lengths) and int(lengths.max()) > longest:
        raise _fault(where, column, f"a list of {int(lengths.max())}, the manifest has at most {longest}")
    found = np.zeros((len(lengths), longest), np.int64)
    found[np.arange(longest) < lengths[:, None]] = flat
    return Padded(found, lengths.astype(np.int64))


def _numeric(column: Column, array: Any, where: object) -> Array:
    found: Array = array.to_numpy(zero_copy_only=False)
    if found.dtype.kind not in NUMERIC:
        raise _fault(where, column, f"{array.type}, the manifest has {column.dtype}")
    return found


_READERS: dict[str, Callable[[Column, Any, object], Dense]] = {"tensor": _tensor, "list": _list, "scalar": _numeric}


def _cast(found: Dense, dtype: np.dtype[Any], column: Column, where: object) -> Array:
    if isinstance(found, Padded):
        raise _fault(where, column, "lists, the manifest has scalar")
    if dtype.kind == "i" and found.dtype.kind == "f":
        raise _fault(where, column, f"{found.dtype}, the manifest has {column.dtype}")
    return found.astype(dtype, copy=False)


def _fault(where: object, column: Column, found: str) -> Refusal:
    return BadData.at(where, f"column {column.name!r} has {found}; delete the version and prepare it again")
