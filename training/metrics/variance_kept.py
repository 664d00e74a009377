"""Fraction of the variance of rows that their reconstructions explain."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric


class VarianceKept(Metric):
    """1 - sum of (reconstruction - x)^2 / sum of (x - mean)^2, with the mean of the evaluated rows.

    It is 0 when all rows are equal and there is no variance.
    """

    count: Tensor
    sum_D: Tensor
    squares: Tensor
    lost: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        for name, start in {"count": (), "sum_D": (width,), "squares": (), "lost": ()}.items():
            self.add_state(name, torch.zeros(start, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, again_BD: Tensor, x_BD: Tensor) -> None:
        self.count += len(x_BD)
        self.sum_D += x_BD.double().sum(dim=0)
        self.squares += x_BD.double().square().sum()
        self.lost += (again_BD.double() - x_BD.double()).square().sum()

    def compute(self) -> Tensor:
        spread = self.squares - self.sum_D.square().sum() / self.count
        return torch.where(spread > 0, 1 - self.lost / spread, 0.0)
