"""Normalizing flow over the numbers of a row: their joint log-density, from layers that can be run backwards.

Source: masked autoregressive flow, Papamakarios et al. 2017, arXiv 1705.07057; its layers as rational-quadratic
splines, Durkan et al. 2019, arXiv 1906.04032, section 3.1; both by the library zuko.
Axes: B rows, D numbers of a row.
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
        "spline", description="what a layer does to a number: a spline inside -5..5, or a line"
    )
    layers: int = Field(3, ge=1, description="autoregressive layers, each in the opposite order of the one before")
    hidden: tuple[int, ...] = Field((64, 64), description="units of each hidden layer that tells a layer's shape")
    bins: int = Field(8, ge=2, description="pieces of a spline")


def build(config: Config, signature: Signature) -> nn.Module:
    """Raises BadData unless the row is numbers alone: a category has no density."""
    return Flow(config, signature.single("number").shape[0])


class Flow(nn.Module):
    """log p(x), (B,), in nats and the units of the inputs, whose scale has to be near 1."""

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
        """So many new rows, (count, D)."""
        x_BD: Tensor = self.flow().sample((count,))
        return x_BD
