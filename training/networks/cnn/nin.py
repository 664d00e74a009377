"""Network in Network: each convolution is followed by two 1x1 convolutions, a small MLP at every position.

Source: Lin et al. 2014, arXiv 1312.4400, section 3 and figure 2; sizes of the authors' network for CIFAR-10.
Axes: B rows, C channels, H height, W width, K scores. 0.97 million parameters on 3x32x32 with 10 classes.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field
from torch import Tensor, nn

from millstream.tracking.dataset.signature import Signature
from millstream.tracking.errors import BadData
from millstream.training.layers.norm import Norm, norm

SMALLEST = 4


class Config(BaseModel, frozen=True, extra="forbid"):
    width: float = Field(1.0, gt=0, le=4, description="width multiplier of the paper's channels")
    within: Literal[1, 3] = Field(
        1, description="kernel size of the two layers after each convolution; 3 shows what 1x1 saves"
    )
    norm: Norm = Field("none", description="normalization after each convolution: batch, layer or group")
    dropout: float = Field(0.5, ge=0, lt=1, description="dropout probability after each pooling")


TINY = Config(width=0.05, norm="group")


def build(config: Config, signature: Signature) -> nn.Module:
    """Raises BadData for images under 4x4."""
    shape = signature.single("image").shape
    if min(shape[1:]) < SMALLEST:
        raise BadData.at("network cnn/nin", f"images of {shape[1:]}; its two poolings need {SMALLEST}x{SMALLEST}")
    return NetworkInNetwork(config, shape[0], signature.outputs)


class NetworkInNetwork(nn.Module):
    """Scores of shape (B, K) for images (B, C, H, W), by global average pooling of one map per class."""

    def __init__(self, config: Config, channels: int, outputs: int) -> None:
        super().__init__()
        wide, first, second = (max(1, round(maps * config.width)) for maps in (192, 160, 96))
        self.layers = nn.Sequential(
            *_layer(config, channels, wide, 5),
            *_layer(config, wide, first, config.within),
            *_layer(config, first, second, config.within),
            nn.MaxPool2d(3, stride=2, ceil_mode=True),
            nn.Dropout(config.dropout),
            *_layer(config, second, wide, 5),
            *_layer(config, wide, wide, config.within),
            *_layer(config, wide, wide, config.within),
            nn.AvgPool2d(3, stride=2, ceil_mode=True),
            nn.Dropout(config.dropout),
            *_layer(config, wide, wide, 3),
            *_layer(config, wide, wide, config.within),
            nn.Conv2d(wide, outputs, config.within, padding=config.within // 2),
        )

    def forward(self, x_BCHW: Tensor) -> Tensor:
        scores_BK: Tensor = self.layers(x_BCHW).mean(dim=(2, 3))
        return scores_BK


def _layer(config: Config, before: int, after: int, kernel: int) -> list[nn.Module]:
    normed = norm(config.norm, after, maps=True)
    return [nn.Conv2d(before, after, kernel, padding=kernel // 2), *normed, nn.ReLU()]
