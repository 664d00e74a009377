"""What the feed yields: one rank's part of a global batch."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from tracking.faults import BadData


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

    def mean(self, per_row_B: Tensor) -> Tensor:
        """The weighted mean over the global batch's samples, scaled so that the mean over ranks (DDP) is right."""
        return (self.weight_B * per_row_B).sum() * (self.ranks / self.real)
