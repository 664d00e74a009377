"""Counts of test rows by score and class, from which ROC and precision-recall curves are drawn.

Source: Fawcett 2006, doi:10.1016/j.patrec.2005.10.010, algorithm 1. Axes: B rows, K classes, T thresholds.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric

LOGIT, COUNT = 12.0, 481


class Curves(NamedTuple):
    """Rows of one class against the rest whose probability reaches each threshold; thresholds descend."""

    true_TK: Tensor
    """int64: rows of the class."""
    false_TK: Tensor
    """int64: rows of the other classes."""


class ScoreCurves(Metric):
    """`Curves` in memory independent of the number of rows: thresholds are evenly spaced logits, so that
    probabilities near 0 and 1, as of rare classes, are resolved."""

    thresholds: Tensor
    of_class_SK: Tensor
    of_rest_SK: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.register_buffer("thresholds", torch.sigmoid(torch.linspace(-LOGIT, LOGIT, COUNT)), persistent=False)
        for name in ("of_class_SK", "of_rest_SK"):
            empty = torch.zeros(COUNT + 1, classes, dtype=torch.int64)
            self.add_state(name, empty, dist_reduce_fx="sum")

    def update(self, probabilities_BK: Tensor, target_B: Tensor) -> None:
        column_K = torch.arange(self.classes, device=target_B.device)
        section_BK = torch.bucketize(probabilities_BK.contiguous(), self.thresholds, right=True)
        place_BK, is_class_BK = section_BK * self.classes + column_K, target_B[:, None] == column_K
        self.of_class_SK += self._counts(place_BK[is_class_BK])
        self.of_rest_SK += self._counts(place_BK[~is_class_BK])

    def compute(self) -> Curves:
        # a row of section s reaches the thresholds 0 ... s - 1; every row reaches the last one, 0
        return Curves(*(one.flip(0).cumsum(0) for one in (self.of_class_SK, self.of_rest_SK)))

    def _counts(self, place: Tensor) -> Tensor:
        return torch.bincount(place, minlength=(COUNT + 1) * self.classes).reshape(COUNT + 1, self.classes)
