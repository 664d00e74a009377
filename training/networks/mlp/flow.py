"""Normalizing flow: joint log-density of the numeric features of a row, from invertible layers.

Source: masked autoregressive flow, Papamakarios et al. 2017, arXiv 1705.07057; rational-quadratic spline layers,
Durkan et al. 2019, arXiv 1906.04032, section 3.1; both by the library zuko.
Axes: B rows, D features.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
import zuko
from pydantic import BaseModel, Field
from torch import Tensor, nn

from millstream.tracking.dataset.signature import Signature


class Config(BaseModel, frozen=True, extra="forbid"):
    kind: Literal["spline", "affine"] = Field(
        "spline", description="transform of a layer: a rational-quadratic spline inside -5..5, or affine"
    )
    layers: int = Field(3, ge=1, description="autoregressive layers, in alternating feature order")
    hidden: tuple[int, ...] = Field(
        (64, 64), description="hidden units of the network that computes a layer's parameters"
    )
    bins: int = Field(8, ge=2, description="bins of a spline")


TINY = Config(layers=2, hidden=(16,))


def build(config: Config, signature: Signature) -> nn.Module:
    """Raises BadData unless all inputs are numbers: a category has no density."""
    return Flow(config, signature.single("number").shape[0])


class Flow(nn.Module):
    """log p(x), (B,), in nats and the units of the inputs, which must be scaled to about 1."""

    def __init__(self, config: Config, width: int) -> None:
        super().__init__()
        shared: dict[str, Any] = {"transforms": config.layers, "hidden_features": config.hidden}
        self.flow = (
            zuko.flows.NSF(width, bins=config.bins, **shared)
            if config.kind == "spline"
            else zuko.flows.MAF(width, **shared)
        )

    def forward(self, x_BD: Tensor) -> Tensor:
        log_p_B: Tensor = self.flow().log_prob(x_BD)
        return log_p_B

    @torch.no_grad()
    def sample(self, count: int) -> Tensor:
        """Sampled rows, (count, D)."""
        x_BD: Tensor = self.flow().sample((count,))
        return x_BD
