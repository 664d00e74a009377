"""VGG: stacked 3x3 convolutions in five stages with pooling.

Source: Simonyan & Zisserman 2015, arXiv 1409.1556, table 1, columns A, B, D and E.
Differs from it: one fully connected layer instead of three, since small images are 1x1 after the fifth pooling, and a
norm after each convolution.
Axes: B rows, C channels, H height, W width, K scores. 14.7 million parameters at depth 16 on 3x32x32 with 10 classes.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field
from torch import Tensor, nn

from millstream.tracking.dataset.signature import Signature
from millstream.tracking.errors import BadData
from millstream.training.layers.convolutions import convolutions
from millstream.training.layers.norm import Norm

CONVOLUTIONS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""Convolutions of each stage, by depth."""
MAPS = (64, 128, 256, 512, 512)
SMALLEST = 1 << len(MAPS)


class Config(BaseModel, frozen=True, extra="forbid"):
    depth: Literal[11, 13, 16, 19] = Field(16, description="layers with weights in the paper")
    width: float = Field(1.0, gt=0, le=4, description="width multiplier of the paper's channels")
    norm: Norm = Field("batch", description="normalization after each convolution: batch, layer or group")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout probability before the fully connected layer")


TINY = Config(depth=11, width=0.05)


def build(config: Config, signature: Signature) -> nn.Module:
    """Raises BadData for images under 32x32."""
    shape = signature.single("image").shape
    if min(shape[1:]) < SMALLEST:
        message = f"images of {shape[1:]}; its five poolings need {SMALLEST}x{SMALLEST}, `resize` them in the steps"
        raise BadData.at("network cnn/vgg", message)
    return VGG(config, shape[0], signature.outputs)


class VGG(nn.Module):
    """Scores of shape (B, K) for images (B, C, H, W)."""

    def __init__(self, config: Config, channels: int, outputs: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = channels
        for count, maps in zip(CONVOLUTIONS[config.depth], MAPS, strict=True):
            after = max(1, round(maps * config.width))
            layers += [*convolutions(before, after, count, config.norm), nn.MaxPool2d(2)]
            before = after
        self.features = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(before, outputs))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        scores_BK: Tensor = self.head(self.features(x_BCHW).mean(dim=(2, 3)))
        return scores_BK
