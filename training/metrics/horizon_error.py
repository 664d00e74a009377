"""Mean squared error of a forecast by the number of steps ahead.

Axes: B windows, H steps, C channels.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric


class HorizonError(Metric):
    """Mean over windows and channels of the squared error of each step ahead, (H,); NaN without a window."""

    squared_H: Tensor
    values: Tensor

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.add_state("squared_H", torch.zeros(steps), dist_reduce_fx="sum")
        self.add_state("values", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, forecast_BHC: Tensor, true_BHC: Tensor) -> None:
        self.squared_H += (forecast_BHC - true_BHC).square().sum(dim=(0, 2))
        self.values += true_BHC.shape[0] * true_BHC.shape[2]

    def compute(self) -> Tensor:
        return self.squared_H / self.values
