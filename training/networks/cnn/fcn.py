"""Fully convolutional network for segmentation: a classifier backbone with upsampled and fused score maps.

Source: Long et al. 2015, arXiv 1411.4038, sections 3.3 and 4.2 and figure 3. With five poolings `fused` of 0, 1 and 2
is its FCN-32s, -16s and -8s.
Differs from it: the backbone has two normalized convolutions per stage, no layers of 4,096 channels and no pretraining;
all skip connections are trained at once, not in sequence.
Axes: B rows, C channels, H height, W width, K score maps.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Self

import torch
from pydantic import BaseModel, Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from millstream.tracking.dataset.signature import Signature
from millstream.training.layers.convolutions import convolutions
from millstream.training.layers.norm import Norm
from millstream.training.layers.pixelwise import channels_and_maps

MOST = 8
"""Largest multiple of the first stage's channels: the paper has 512 in the last stages and 64 in the first."""


class Config(BaseModel, frozen=True, extra="forbid"):
    channels: int = Field(16, ge=1, description="channels at full resolution; each pooling doubles them, up to 8 times")
    poolings: int = Field(5, ge=1, le=8, description="number of 2x2 poolings")
    fused: int = Field(2, ge=0, description="finer score maps (skip connections) added to the coarsest")
    norm: Norm = Field("batch", description="normalization after each convolution: batch, layer or group")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout probability of the coarsest maps")

    @model_validator(mode="after")
    def _has_finer_maps(self) -> Self:
        if self.fused >= self.poolings:
            raise ValueError(f"fused: {self.poolings} poolings leave {self.poolings - 1} finer maps than the coarsest")
        return self


TINY = Config(channels=4, poolings=2, fused=1)


def build(config: Config, signature: Signature) -> nn.Module:
    """Raises BadData for images whose sides the poolings do not divide."""
    return FCN(config, *channels_and_maps(signature, config.poolings, "cnn/fcn"))


class FCN(nn.Module):
    """Scores (B, K, H, W) for images (B, C, H, W)."""

    def __init__(self, config: Config, channels: int, outputs: int) -> None:
        super().__init__()
        maps = [config.channels * min(MOST, 1 << at) for at in range(config.poolings)]
        self.stages = nn.ModuleList(
            nn.Sequential(*convolutions(before, after, 2, config.norm), nn.MaxPool2d(2))
            for before, after in pairwise((channels, *maps))
        )
        self.dropout = nn.Dropout2d(config.dropout)
        self.scores = nn.ModuleList(nn.Conv2d(after, outputs, 1) for after in maps[-1 - config.fused :])
        self.doubled = nn.ModuleList(_doubled(outputs) for _ in range(config.fused))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        size, pooled = x_BCHW.shape[2:], []
        for stage in self.stages:
            x_BCHW = stage(x_BCHW)
            pooled.append(x_BCHW)
        coarsest, *finer = reversed(self.scores)
        scores_BKHW: Tensor = coarsest(self.dropout(pooled.pop()))
        for score, double in zip(finer, self.doubled, strict=True):
            scores_BKHW = double(scores_BKHW) + score(pooled.pop())
        return functional.interpolate(scores_BKHW, size=size, mode="bilinear", align_corners=False)


def _doubled(outputs: int) -> nn.Module:
    """A depthwise transposed convolution initialized to bilinear upsampling by 2 (section 3.3)."""
    layer = nn.ConvTranspose2d(outputs, outputs, 4, 2, padding=1, groups=outputs, bias=False)
    side = torch.tensor([0.25, 0.75, 0.75, 0.25])
    with torch.no_grad():
        layer.weight.copy_(torch.outer(side, side).expand_as(layer.weight))
    return layer
