"""Neighbourhood metrics of an embedding: trustworthiness and nearest-neighbour accuracy.

Source of trustworthiness: Venna & Kaski 2001, Neighborhood preservation in nonlinear projection methods,
doi:10.1007/3-540-44668-0_68.
Axes: B rows of a batch, D features, Z code dimensions, N rows of a split.
"""

from __future__ import annotations

import torch
from sklearn.manifold import trustworthiness
from torch import Tensor

from millstream.training.metrics.first_rows import FirstRows

NEIGHBOURS = 12
MOST = 2_000
"""Rows of a split, the first in stored order, that are evaluated: the cost is quadratic."""


class Trustworthiness(FirstRows):
    """1 when the nearest neighbours of each code are also nearest among the rows; about .5 for random codes."""

    def __init__(self) -> None:
        super().__init__(MOST, "x", "codes")

    def update(self, x_BD: Tensor, codes_BZ: Tensor, index: int = 0) -> None:
        self.keep(index, x_BD, codes_BZ)

    def compute(self) -> Tensor:
        x_ND, codes_NZ = (one.double().cpu().numpy() for one in self.first())
        # defined for fewer neighbours than half of the rows
        count = min(NEIGHBOURS, (len(x_ND) - 1) // 2)
        return torch.tensor(trustworthiness(x_ND, codes_NZ, n_neighbors=count) if count > 0 else 1.0)


class NeighbourAccuracy(FirstRows):
    """Leave-one-out 1-nearest-neighbour accuracy of the class in code space; 0 for a single row."""

    def __init__(self) -> None:
        super().__init__(MOST, "codes", "target")

    def update(self, codes_BZ: Tensor, class_B: Tensor, index: int = 0) -> None:
        self.keep(index, codes_BZ, class_B)

    def compute(self) -> Tensor:
        codes_NZ, class_N = self.first()
        codes_NZ = codes_NZ.double()
        if len(codes_NZ) < 2:
            return torch.tensor(0.0)
        distance_NN = torch.cdist(codes_NZ, codes_NZ, compute_mode="donot_use_mm_for_euclid_dist")
        nearest_N = distance_NN.fill_diagonal_(torch.inf).argmin(dim=1)
        return (class_N[nearest_N] == class_N).double().mean()
