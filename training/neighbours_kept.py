"""How well codes keep rows beside those that they are like.

Source of trustworthiness: Venna & Kaski 2001, Neighborhood preservation in nonlinear projection methods,
doi:10.1007/3-540-44668-0_68.
Axes: B rows of a batch, D numbers of a row, Z numbers of a code, N rows of a split.
"""

from __future__ import annotations

import torch
from sklearn.manifold import trustworthiness
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

NEIGHBOURS = 12
MOST = 2_000
"""Rows of a split, the first in stored order, that are looked at: each is compared with each."""


class Trustworthiness(Metric):
    """1 where the nearest rows of each code are its row's nearest, too; .5 or so where codes are drawn at random."""

    x: list[Tensor]
    codes: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("x", [], dist_reduce_fx="cat")
        self.add_state("codes", [], dist_reduce_fx="cat")

    def update(self, x_BD: Tensor, codes_BZ: Tensor) -> None:
        if sum(map(len, self.x)) < MOST:
            self.x.append(x_BD)
            self.codes.append(codes_BZ)

    def compute(self) -> Tensor:
        x_ND, codes_NZ = (dim_zero_cat(one)[:MOST].double().cpu().numpy() for one in (self.x, self.codes))
        # it is defined for less than half of the rows
        count = min(NEIGHBOURS, (len(x_ND) - 1) // 2)
        return torch.tensor(trustworthiness(x_ND, codes_NZ, n_neighbors=count) if count > 0 else 1.0)


class NeighbourAccuracy(Metric):
    """The share of rows that are of the same class as the row with the nearest other code; 0 for a single row."""

    codes: list[Tensor]
    target: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("codes", [], dist_reduce_fx="cat")
        self.add_state("target", [], dist_reduce_fx="cat")

    def update(self, codes_BZ: Tensor, class_B: Tensor) -> None:
        if sum(map(len, self.codes)) < MOST:
            self.codes.append(codes_BZ)
            self.target.append(class_B)

    def compute(self) -> Tensor:
        codes_NZ, class_N = dim_zero_cat(self.codes)[:MOST].double(), dim_zero_cat(self.target)[:MOST]
        if len(codes_NZ) < 2:
            return torch.tensor(0.0)
        distance_NN = torch.cdist(codes_NZ, codes_NZ, compute_mode="donot_use_mm_for_euclid_dist")
        nearest_N = distance_NN.fill_diagonal_(torch.inf).argmin(dim=1)
        return (class_N[nearest_N] == class_N).double().mean()
