"""ESPCN: convolutions over the coarse picture, the last of which has a map for each fine pixel of a coarse one.

Source: Shi et al. 2016, arXiv 1609.05158, sections 3.1, 3.2 and 3.3 (5-3-3, 64 and 32 maps, tanh).
Differs from it: beyond the border its last pixels go on, so that the fine picture is whole; the last growth may be any
of `layers/grow.py` in the place of pixel shuffle; it may tell no more than what bicubic enlargement lacks (the idea of
Kim et al. 2016, arXiv 1511.04587).
Axes: B rows, C channels, h and w height and width of the coarse picture. 22,729 parameters for one channel, 3 times.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field
from torch import Tensor, nn

from millstream.tracking.dataset.signature import Signature
from millstream.training.layers.enlarge import completed, enlarged, enlargement
from millstream.training.layers.grow import PlainGrowth, grow

ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU}


class Config(BaseModel, frozen=True, extra="forbid"):
    channels: tuple[int, int] = Field((64, 32), description="maps of the two convolutions before the growth")
    growth: PlainGrowth = Field("shuffle", description="how the last maps grow into the fine picture")
    activation: Literal["tanh", "relu"] = Field("tanh", description="behind the first two convolutions")
    residual: bool = Field(False, description="whether the convolutions tell what bicubic enlargement lacks")


def build(config: Config, signature: Signature) -> nn.Module:
    """Raises BadData where the target is no multiple of the input."""
    return ESPCN(config, *enlargement(signature, "cnn/espcn"))


class ESPCN(nn.Module):
    """Fine pictures (B, C, factor h, factor w) for coarse ones (B, C, h, w)."""

    def __init__(self, config: Config, channels: int, factor: int) -> None:
        super().__init__()
        first, second = config.channels
        activation = ACTIVATIONS[config.activation]
        self.layers = nn.Sequential(
            nn.Conv2d(channels, first, 5, padding=2, padding_mode="replicate"),
            activation(),
            nn.Conv2d(first, second, 3, padding=1, padding_mode="replicate"),
            activation(),
            grow(config.growth, second, channels, factor),
        )
        self.factor, self.residual = factor, config.residual

    def forward(self, x_BChw: Tensor) -> Tensor:
        if self.residual:
            return completed(enlarged(x_BChw, self.factor), self.layers, x_BChw)
        told_BCHW: Tensor = self.layers(x_BChw)
        return told_BCHW
