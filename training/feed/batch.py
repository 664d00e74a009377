"""What the feed yields: one rank's part of a global batch."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from millstream.tracking.errors import BadData


class Batch(NamedTuple):
    """b slots of one rank, of which the last ones of an epoch's last batch may be masked.

    Every rank has equally many slots and batches. Masked slots hold zeros and have weight 0.
    """

    inputs: tuple[Tensor, ...]
    """The tensors of `Signature.inputs` in order, float32 or int64, first axis b; tokens bring their lengths along."""
    target: Tensor | None
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
    def truth(self) -> Tensor:
        """The target. Raises BadData when the signature has none."""
        if self.target is None:
            raise BadData.at("feed", "the task compares with a target, and its signature has none")
        return self.target

    def to(self, device: torch.device) -> Batch:
        """The batch on a device; the copy to a GPU goes on beside what the host does next."""
        if device.type == "cpu":
            return self
        moved = partial(torch.Tensor.to, device=device, non_blocking=device.type == "cuda")
        return self._replace(
            inputs=tuple(moved(one) for one in self.inputs),
            target=None if self.target is None else moved(self.target),
            weight_B=moved(self.weight_B),
            mask_B=moved(self.mask_B),
        )

    @property
    def is_full(self) -> bool:
        """Whether each slot of each rank holds a sample; known without asking the device."""
        return self.real == len(self.mask_B) * self.ranks

    def present(self) -> Batch:
        """The slots that hold samples, alone."""
        return self._replace(
            inputs=tuple(one[self.mask_B] for one in self.inputs),
            target=None if self.target is None else self.target[self.mask_B],
            weight_B=self.weight_B[self.mask_B],
            mask_B=self.mask_B[self.mask_B],
        )

    def parts(self, count: int) -> Iterator[Batch]:
        """The batch in `count` pieces of nearly equally many slots, the means of which add up to that of the whole."""
        if count == 1:
            yield self
            return
        slots = len(self.mask_B)
        for at in range(count):
            rows = slice(slots * at // count, slots * (at + 1) // count)
            yield self._replace(
                inputs=tuple(one[rows] for one in self.inputs),
                target=None if self.target is None else self.target[rows],
                weight_B=self.weight_B[rows],
                mask_B=self.mask_B[rows],
            )

    def mean(self, per_row_B: Tensor) -> Tensor:
        """The weighted mean over the global batch's samples, scaled so that the mean over ranks (DDP) is right."""
        return (self.weight_B * per_row_B).sum() * (self.ranks / self.real)
