"""ESPCN: super-resolution by convolutions over the low-resolution image and a pixel shuffle.

Source: Shi et al. 2016, arXiv 1609.05158, sections 3.1, 3.2 and 3.3 (5-3-3, 64 and 32 maps, tanh).
Differs from it: replicate padding, so that the output is not cropped; any upsampling of `layers/grow.py` can replace
the pixel shuffle; optionally it predicts the residual of bicubic upsampling (Kim et al. 2016, arXiv 1511.04587).
Axes: B rows, C channels, h and w height and width of the low-resolution image. 22,729 parameters for one channel at
factor 3.
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
    channels: tuple[int, int] = Field((64, 32), description="channels of the two convolutions before the upsampling")
    growth: PlainGrowth = Field("shuffle", description="upsampling method of the last layer")
    activation: Literal["tanh", "relu"] = Field("tanh", description="activation after the first two convolutions")
    residual: bool = Field(False, description="whether the convolutions predict the residual of bicubic upsampling")


TINY = Config(channels=(8, 4))


def build(config: Config, signature: Signature) -> nn.Module:
    """Raises BadData unless the target's sides are the same whole multiple of the input's."""
    return ESPCN(config, *enlargement(signature, "cnn/espcn"))


class ESPCN(nn.Module):
    """High-resolution images (B, C, factor h, factor w) from low-resolution images (B, C, h, w)."""

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
        fine_BCHW: Tensor = self.layers(x_BChw)
        return fine_BCHW
