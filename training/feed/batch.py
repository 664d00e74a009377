"""What the feed yields: one rank's part of a global batch.

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
    """Rows of different lengths, padded with zeros behind their ends to the longest row of the batch."""

    values: Tensor
    """(B, T, ...)"""
    lengths_B: Tensor
    """int64, from 0 to T."""

    def __len__(self) -> int:
        return len(self.lengths_B)

    def __getitem__(self, rows: Tensor | slice) -> Ragged:
        """Some rows, no wider than these are."""
        return Ragged(self.values[rows], self.lengths_B[rows])

    def mask(self) -> Tensor:
        """bool (B, T): whether an element belongs to its row, or is padding."""
        return torch.arange(self.values.shape[1], device=self.lengths_B.device) < self.lengths_B[:, None]

    def trimmed(self) -> Ragged:
        """The same rows, as wide as the longest of them (at least 1)."""
        longest = max(1, int(self.lengths_B.max())) if len(self) else 1
        return Ragged(self.values[:, :longest].contiguous(), self.lengths_B)


Value = Tensor | Ragged
Fields = Mapping[str, Value]
"""What a batch holds of each field of the signature, by the field's name and in the signature's order."""


class Batch(NamedTuple):
    """b slots of one rank, of which the last ones of an epoch's last batch may be masked.

    Every rank has equally many slots and batches. Masked slots hold zeros and have weight 0.
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
    """Samples in the global batch, over all ranks."""
    ranks: int
    epoch: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody asks of a batch
    """Number of the global batch within its epoch."""

    @property
    def arguments(self) -> tuple[Any, ...]:
        """What a network is called with: the inputs, in the order of the signature."""
        return tuple(self.inputs.values())

    @property
    def truth(self) -> Tensor:
        """The target of a task that has one, of one shape for all rows. Raises BadData when there is no such target."""
        values = list(self.targets.values())
        if len(values) != 1 or isinstance(values[0], Ragged):
            held = ", ".join(self.targets) or "none"
            raise BadData.at("feed", f"the task compares with one target of one shape; the signature has {held}")
        return values[0]

    def to(self, device: torch.device) -> Batch:
        """The batch on a device; the copy to a GPU goes on beside what the host does next."""
        if device.type == "cpu":
            return self
        return self.map(partial(torch.Tensor.to, device=device, non_blocking=device.type == "cuda"))

    def map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """The batch with `change` applied to each tensor, all of which have the slots as their first axis."""
        return self._replace(
            inputs={name: changed(value, change) for name, value in self.inputs.items()},
            targets={name: changed(value, change) for name, value in self.targets.items()},
            weight_B=change(self.weight_B),
            mask_B=change(self.mask_B),
        )

    @property
    def is_full(self) -> bool:
        """Whether each slot of each rank holds a sample; known without asking the device."""
        return self.real == len(self.mask_B) * self.ranks

    def present(self) -> Batch:
        """The slots that hold samples, alone."""
        return self.map(lambda one: one[self.mask_B])

    def slots(self, which: slice) -> Batch:
        """Some of the slots."""
        return self.map(lambda one: one[which])

    def parts(self, count: int) -> Iterator[Batch]:
        """The batch in `count` pieces of nearly equally many slots, the means of which add up to that of the whole."""
        if count == 1:
            yield self
            return
        slots = len(self.mask_B)
        for at in range(count):
            yield self.slots(slice(slots * at // count, slots * (at + 1) // count))

    def mean(self, per_row_B: Tensor, elements: Tensor | None = None) -> Tensor:
        """The weighted mean over the global batch's samples, scaled so that the mean over ranks (DDP) is right.

        Where the loss of a row is a sum over its elements (tokens, say), `elements` is how many of them the global
        batch has, and the mean is over these.
        """
        return (self.weight_B * per_row_B).sum() * (
            self.ranks / (self.real if elements is None else elements.to(per_row_B))
        )


def changed(value: Value, change: Callable[[Tensor], Tensor]) -> Value:
    """The value with `change` applied to each of its tensors."""
    if isinstance(value, Ragged):
        return Ragged(change(value.values), change(value.lengths_B))
    return change(value)
