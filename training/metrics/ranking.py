"""How well chances order the rows, and nan where a split has nothing to order: torchmetrics counts that as 0.

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
    """The chance that a positive row stands over a negative one; nan unless there are both."""

    def compute(self) -> Tensor:  # type: ignore[override]  # as in torchmetrics
        return super().compute() if _has_both(self.target) else torch.tensor(torch.nan, device=self.device)


class AveragePrecision(BinaryAveragePrecision):
    """The mean of the precision over the positive rows; nan without one."""

    def compute(self) -> Tensor:  # type: ignore[override]  # as in torchmetrics
        return super().compute() if _positives(self.target) > 0 else torch.tensor(torch.nan, device=self.device)


class MeanAuc(MultilabelAUROC):
    """The mean of `Auc` over the tags that some rows have and some have not; nan without such a tag."""

    def compute(self) -> Tensor:  # type: ignore[override]  # as in torchmetrics
        return super().compute()[_has_both(self.target)].mean()


class MeanAveragePrecision(MultilabelAveragePrecision):
    """The mean of `AveragePrecision` over the tags that a row has; nan when no row has one."""

    def compute(self) -> Tensor:  # type: ignore[override]  # as in torchmetrics
        return super().compute()[_positives(self.target) > 0].mean()


def _positives(target: list[Tensor]) -> Tensor:
    return dim_zero_cat(target).sum(dim=0)


def _has_both(target: list[Tensor]) -> Tensor:
    rows = len(dim_zero_cat(target))
    return (_positives(target) > 0) & (_positives(target) < rows)
