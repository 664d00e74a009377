"""AUROC and average precision that are NaN, not 0 as in torchmetrics, when a split lacks a class.

Source: Fawcett 2006, doi:10.1016/j.patrec.2005.10.010, section 7 (area under the curve). Axes: B rows, K tags.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics.classification import (
    BinaryAUROC,
    BinaryAveragePrecision,
    MultilabelAUROC,
    MultilabelAveragePrecision,
)
from torchmetrics.utilities.data import dim_zero_cat


class Auc(BinaryAUROC):
    """AUROC: probability that a positive row scores above a negative one; NaN unless there are both."""

    def compute(self) -> Tensor:  # type: ignore[override]  # as in torchmetrics
        return super().compute() if _has_both(self.target) else torch.tensor(torch.nan, device=self.device)


class AveragePrecision(BinaryAveragePrecision):
    """Mean precision over the positive rows; NaN without a positive row."""

    def compute(self) -> Tensor:  # type: ignore[override]  # as in torchmetrics
        return super().compute() if _positives(self.target) > 0 else torch.tensor(torch.nan, device=self.device)


class MeanAuc(MultilabelAUROC):
    """Mean of `Auc` over the tags with both positive and negative rows; NaN without such a tag."""

    def compute(self) -> Tensor:  # type: ignore[override]  # as in torchmetrics
        return super().compute()[_has_both(self.target)].mean()


class MeanAveragePrecision(MultilabelAveragePrecision):
    """Mean of `AveragePrecision` over the tags with a positive row; NaN without such a tag."""

    def compute(self) -> Tensor:  # type: ignore[override]  # as in torchmetrics
        return super().compute()[_positives(self.target) > 0].mean()


def _positives(target: list[Tensor]) -> Tensor:
    return dim_zero_cat(target).sum(dim=0)


def _has_both(target: list[Tensor]) -> Tensor:
    rows = len(dim_zero_cat(target))
    return (_positives(target) > 0) & (_positives(target) < rows)
