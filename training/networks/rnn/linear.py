"""Linear forecast of a series from its last steps: the bar that a recurrent forecast has to beat.

Source: Linear, NLinear and DLinear of Zeng et al. 2023, arXiv 2205.13504, section 4.
Axes: B windows, L steps of the past, H of the future, C channels.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn
from torch.nn import functional

from millstream.tracking.dataset.signature import Signature
from millstream.tracking.errors import BadData


class Config(BaseModel, frozen=True, extra="forbid"):
    form: Literal["linear", "nlinear", "dlinear"] = Field(
        "nlinear",
        description="one linear map; of the differences from the last value; of a moving average and of the rest",
    )
    average: int = Field(25, ge=1, description="steps of the moving average of dlinear, odd")


def build(config: Config, signature: Signature) -> nn.Module:
    """Raises BadData for anything but a series as input, and steps of the same channels as target."""
    past, future = signature.single("series"), signature.target
    if len(past.shape) != 2 or future is None or future.shape[1:] != past.shape[1:]:
        shape = None if future is None else future.shape
        message = f"forecasts a series (steps, channels) from the steps before it; {past.shape} is to predict {shape}"
        raise BadData.at("network", f"{message}; put the step window into the recipe")
    if not config.average % 2:
        raise BadData.at("network", f"average: {config.average} has no middle step; take an odd number")
    return LinearForecast(config, past.shape[0], future.shape[0])


class LinearForecast(nn.Module):
    """Forecasts of shape (B, H, C) from (B, L, C); all channels share the weights."""

    def __init__(self, config: Config, past: int, future: int) -> None:
        super().__init__()
        self.config = config
        self.head = nn.Linear(past, future)
        self.trend = nn.Linear(past, future) if config.form == "dlinear" else None
        with torch.no_grad():  # as the published code: a mean of the past
            for layer in (self.head, self.trend):
                if layer is not None:
                    layer.weight.fill_(1 / past)

    def forward(self, past_BLC: Tensor) -> Tensor:
        past_BCL = past_BLC.transpose(1, 2)
        if self.config.form == "nlinear":
            last_BC1 = past_BCL[:, :, -1:]
            future_BCH = self.head(past_BCL - last_BC1) + last_BC1
        elif self.trend is not None:
            average_BCL = moving_average(past_BCL, self.config.average)
            future_BCH = self.head(past_BCL - average_BCL) + self.trend(average_BCL)
        else:
            future_BCH = self.head(past_BCL)
        forecast_BHC: Tensor = future_BCH.transpose(1, 2)
        return forecast_BHC


def moving_average(x_BCL: Tensor, steps: int) -> Tensor:
    """Mean over `steps` centred steps; the first and the last value are repeated beyond the ends."""
    around = functional.pad(x_BCL, (steps // 2, steps // 2), mode="replicate")
    return functional.avg_pool1d(around, steps, stride=1)
