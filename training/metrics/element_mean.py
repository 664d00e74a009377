"""Mean of losses over rows, or over their elements, that keeps what is no number."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric


class ElementMean(Metric):
    """Sum of losses over sum of counts, over all ranks; NaN where nothing was counted, or a loss was NaN.

    torchmetrics' MeanMetric (1.9) leaves weights out where it lets NaN pass, without a word.
    """

    total: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros(()), dist_reduce_fx="sum")

    def update(self, loss_B: Tensor, count_B: Tensor | None = None) -> None:
        """`loss_B` is the sum over the elements of each row, of which there are `count_B`: one by default."""
        self.total += loss_B.to(self.total).sum()
        self.count += len(loss_B) if count_B is None else count_B.to(self.count).sum()

    def compute(self) -> Tensor:
        return self.total / self.count
