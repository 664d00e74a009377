"""Confidence and accuracy by bin of confidence: the numbers of a reliability diagram.

Source: Guo et al. 2017, arXiv 1706.04599, section 2. Axes: B rows, N bins.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric

BINS = 15


class Bins(NamedTuple):
    rows_N: Tensor
    """int64"""
    confidence_N: Tensor
    """Mean predicted probability in each bin; NaN where it is empty."""
    accuracy_N: Tensor
    """Share of rows for which the predicted event was true; NaN where the bin is empty."""


class Reliability(Metric):
    """Predicted probabilities (B,) in [0, 1] against whether the event was true (B,), in bins of equal width."""

    rows_N: Tensor
    true_N: Tensor
    sum_N: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name, kind in (("rows_N", torch.int64), ("true_N", torch.int64), ("sum_N", torch.float32)):
            self.add_state(name, torch.zeros(BINS, dtype=kind), dist_reduce_fx="sum")

    def update(self, probability_B: Tensor, is_true_B: Tensor) -> None:
        bin_B = (probability_B * BINS).long().clamp(max=BINS - 1)
        inside_BN = bin_B[:, None] == torch.arange(BINS, device=bin_B.device)
        self.rows_N += inside_BN.sum(dim=0)
        self.true_N += (inside_BN & is_true_B[:, None]).sum(dim=0)
        self.sum_N += (inside_BN * probability_B[:, None]).sum(dim=0)

    def compute(self) -> Bins:
        return Bins(self.rows_N, self.sum_N / self.rows_N, self.true_N / self.rows_N)
