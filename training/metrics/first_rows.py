"""The first rows of a split, for metrics that look at no more: the same rows whatever the number of ranks."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat


class FirstRows(Metric):
    """Collects values of at most `most` rows, in the order in which one process alone reads them.

    The states of ranks are put one after the other. Within a batch the slots of the ranks stand so, too, and the number
    of the batch puts the batches into their order.
    """

    index: list[Tensor]

    def __init__(self, most: int, *names: str) -> None:
        """`names` are those of the values."""
        super().__init__()
        self.most, self.names = most, names
        for name in (*names, "index"):
            self.add_state(name, [], dist_reduce_fx="cat")

    def keep(self, index: int, *values: Tensor) -> None:
        """Values of rows of the global batch number `index`."""
        if sum(map(len, self.index)) < self.most:
            for name, one in zip(self.names, values, strict=True):
                getattr(self, name).append(one)
            self.index.append(torch.full((len(values[0]),), index, device=values[0].device))

    def first(self) -> list[Tensor]:
        """The values by name, of `most` rows or of all that there are."""
        order = torch.argsort(dim_zero_cat(self.index), stable=True)[: self.most]
        return [dim_zero_cat(getattr(self, name))[order] for name in self.names]
