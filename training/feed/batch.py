"""Batches of the feed: one rank's part of a global batch.

Axes: B slots of a batch, T the longest row of a field, in this batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from millstream.tracking.errors import BadData


@dataclass(frozen=True)
class Ragged:
    """Rows of different lengths, right-padded with zeros to the longest row of the batch."""

    values: Tensor
    """(B, T, ...)"""
    lengths_B: Tensor
    """int64, in [0, T]."""

    def __len__(self) -> int:
        return len(self.lengths_B)

    def __getitem__(self, rows: Tensor | slice) -> Ragged:
        """Some of the rows, with the same padded width."""
        return Ragged(self.values[rows], self.lengths_B[rows])

    def mask(self) -> Tensor:
        """bool (B, T): true for elements of the row, false for padding."""
        return torch.arange(self.values.shape[1], device=self.lengths_B.device) < self.lengths_B[:, None]

    def trimmed(self) -> Ragged:
        """The same rows, padded to the longest of them (at least 1)."""
        longest = max(1, int(self.lengths_B.max())) if len(self) else 1
        return Ragged(self.values[:, :longest].contiguous(), self.lengths_B)


@dataclass(frozen=True)
class Streams:
    """Slots of a batch whose order is contiguous: each continues the same slot of the batch before."""

    slot_B: Tensor
    """int64, in [0, slots): the slot among those of this rank."""
    begins_B: Tensor
    """bool: whether a sequence begins in the slot, so that a carried state is reset."""
    slots: int
    """Slots of this rank in each batch."""

    @classmethod
    def of(cls, begins_B: Tensor) -> Streams:
        return cls(torch.arange(len(begins_B)), begins_B, len(begins_B))

    def map(self, change: Callable[[Tensor], Tensor]) -> Streams:
        return Streams(change(self.slot_B), change(self.begins_B), self.slots)


Value = Tensor | Ragged
Fields = Mapping[str, Value]
"""Values of a batch by field name, in the signature's order."""


class Batch(NamedTuple):
    """b slots of one rank; in an epoch's last batch, the last slots may be masked.

    All ranks have the same number of slots and batches. Masked slots hold zeros and have weight 0.
    """

    inputs: Fields
    """`Signature.inputs`, float32 or int64, first axis b; lists are ragged."""
    targets: Fields
    """`Signature.targets`, in the same form."""
    weight_B: Tensor
    """float32: the sample's weight (1 without a weight column), 0 where masked."""
    mask_B: Tensor
    """bool: whether the slot holds a sample."""
    real: int
    """Number of samples in the global batch, over all ranks."""
    ranks: int
    epoch: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which is not needed here
    """Number of the global batch within its epoch."""
    streams: Streams | None = None
    """None for an order without sequences."""

    @property
    def arguments(self) -> tuple[Any, ...]:
        """Arguments of the network: the inputs, in the order of the signature."""
        return tuple(self.inputs.values())

    @property
    def truth(self) -> Tensor:
        """The single target, not ragged. Raises BadData when there is no such target."""
        values = list(self.targets.values())
        if len(values) != 1 or isinstance(values[0], Ragged):
            held = ", ".join(self.targets) or "none"
            raise BadData.at("feed", f"the task compares with one target of one shape; the signature has {held}")
        return values[0]

    def to(self, device: torch.device) -> Batch:
        """The batch on a device; the copy to a GPU is asynchronous."""
        if device.type == "cpu":
            return self
        return self.map(partial(torch.Tensor.to, device=device, non_blocking=device.type == "cuda"))

    def map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """The batch with `change` applied to each tensor; the first axis of all is the slots."""
        return self._replace(
            inputs={name: changed(value, change) for name, value in self.inputs.items()},
            targets={name: changed(value, change) for name, value in self.targets.items()},
            weight_B=change(self.weight_B),
            mask_B=change(self.mask_B),
            streams=self.streams and self.streams.map(change),
        )

    @property
    def is_full(self) -> bool:
        """Whether each slot of each rank holds a sample; computed without a device synchronization."""
        return self.real == len(self.mask_B) * self.ranks

    def present(self) -> Batch:
        """The batch without masked slots."""
        return self.map(lambda one: one[self.mask_B])

    def slots(self, which: slice) -> Batch:
        """Some of the slots."""
        return self.map(lambda one: one[which])

    def parts(self, count: int) -> Iterator[Batch]:
        """The batch as `count` micro-batches of nearly equal size, whose `mean`s add up to that of the batch."""
        if count == 1:
            yield self
            return
        slots = len(self.mask_B)
        for at in range(count):
            yield self.slots(slice(slots * at // count, slots * (at + 1) // count))

    def mean(self, per_row_B: Tensor, elements: Tensor | None = None) -> Tensor:
        """The weighted mean over the global batch's samples, scaled for averaging over ranks (DDP).

        Where the loss of a row is a sum over its elements (such as tokens), `elements` is their number in the global
        batch, and the mean is over elements.
        """
        return (self.weight_B * per_row_B).sum() * (
            self.ranks / (self.real if elements is None else elements.to(per_row_B))
        )


def changed(value: Value, change: Callable[[Tensor], Tensor]) -> Value:
    """The value with `change` applied to each of its tensors."""
    if isinstance(value, Ragged):
        return Ragged(change(value.values), change(value.lengths_B))
    return change(value)
