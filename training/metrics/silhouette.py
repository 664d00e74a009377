"""Silhouette coefficient of a clustering, over rows gathered from all ranks."""

from __future__ import annotations

import torch
from sklearn.metrics import silhouette_score
from torch import Tensor

from millstream.training.metrics.first_rows import FirstRows
from millstream.training.tensors import as_numpy

MOST = 5_000
"""Rows of a split, the first in stored order, that are evaluated: the cost is quadratic."""


class Silhouette(FirstRows):
    """Mean over rows of (b - a) / max(a, b): a is the mean distance to its own cluster, b to the nearest other.

    Rows without a cluster are ignored. It is 0 when all rows are in one cluster, or each in its own.
    """

    def __init__(self) -> None:
        super().__init__(MOST, "x", "number")

    def update(self, x_BD: Tensor, number_B: Tensor, index: int = 0) -> None:
        self.keep(index, x_BD[number_B >= 0], number_B[number_B >= 0])

    def compute(self) -> Tensor:
        x_ND, number_N = self.first()
        if not 1 < len(torch.unique(number_N)) < len(number_N):
            return torch.tensor(0.0)
        return torch.tensor(float(silhouette_score(as_numpy(x_ND), as_numpy(number_N))))
