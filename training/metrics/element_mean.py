"""Mean of losses over rows or their elements that propagates NaN."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric


class ElementMean(Metric):
    """Sum of losses over sum of counts, over all ranks; NaN when nothing was counted or a loss was NaN.

    torchmetrics' MeanMetric (1.9) silently ignores weights when it is set to propagate NaN.
    """

    total: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros(()), dist_reduce_fx="sum")

    def update(self, loss_B: Tensor, count_B: Tensor | None = None) -> None:
        """`loss_B` is the sum over the elements of each row, `count_B` their number (1 by default)."""
        self.total += loss_B.to(self.total).sum()
        self.count += len(loss_B) if count_B is None else count_B.to(self.count).sum()

    def compute(self) -> Tensor:
        return self.total / self.count
