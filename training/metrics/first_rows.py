"""Base of metrics over the first rows of a split: the same rows for any number of ranks."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat


class FirstRows(Metric):
    """Collects values of at most `most` rows, in the order in which a single process reads them.

    The states of the ranks are concatenated in rank order. Slots within a global batch have the same order, so a stable
    sort by batch index restores the order of the rows.
    """

    index: list[Tensor]

    def __init__(self, most: int, *names: str) -> None:
        """`names` are the names of the collected values."""
        super().__init__()
        self.most, self.names = most, names
        for name in (*names, "index"):
            self.add_state(name, [], dist_reduce_fx="cat")

    def keep(self, index: int, *values: Tensor) -> None:
        """Collect values of rows of the global batch `index`."""
        if sum(map(len, self.index)) < self.most:
            for name, one in zip(self.names, values, strict=True):
                getattr(self, name).append(one)
            self.index.append(torch.full((len(values[0]),), index, device=values[0].device))

    def first(self) -> list[Tensor]:
        """The values of the first `most` rows, or of all if there are fewer, in the order of `names`."""
        order = torch.argsort(dim_zero_cat(self.index), stable=True)[: self.most]
        return [dim_zero_cat(getattr(self, name))[order] for name in self.names]
