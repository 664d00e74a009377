"""U-Net: a contracting path of convolutions and poolings, and an expanding path with skip connections.

Source: Ronneberger et al. 2015, arXiv 1505.04597, section 2 and figure 1.
Differs from it: convolutions are padded, so that the output is as large as the image, and normalized; the expanding
path upsamples by any method of `layers/grow.py`, where the paper has transposed convolutions.
Axes: B rows, C channels, D maps, H height, W width, K score maps.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn
from torch.nn import functional

from millstream.tracking.dataset.signature import Signature
from millstream.training.layers.convolutions import convolutions
from millstream.training.layers.grow import Growth, grow
from millstream.training.layers.norm import Norm
from millstream.training.layers.pixelwise import channels_and_maps


class Config(BaseModel, frozen=True, extra="forbid"):
    channels: int = Field(16, ge=1, description="channels at full resolution; each pooling doubles them (paper: 64)")
    poolings: int = Field(4, ge=1, le=8, description="number of 2x2 poolings")
    growth: Growth = Field("transposed", description="upsampling method")
    skips: bool = Field(True, description="whether the expanding path has skip connections from the contracting path")
    norm: Norm = Field("batch", description="normalization after each convolution: batch, layer or group")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout probability of the lowest-resolution maps")


TINY = Config(channels=4, poolings=2)


def build(config: Config, signature: Signature) -> nn.Module:
    """Raises BadData for images whose sides the poolings do not divide."""
    return UNet(config, *channels_and_maps(signature, config.poolings, "cnn/unet"))


class UNet(nn.Module):
    """Scores (B, K, H, W) for images (B, C, H, W)."""

    def __init__(self, config: Config, channels: int, outputs: int) -> None:
        super().__init__()
        maps = [config.channels << at for at in range(config.poolings + 1)]
        self.down = nn.ModuleList(_double(config, before, after) for before, after in pairwise((channels, *maps)))
        self.dropout = nn.Dropout2d(config.dropout)
        self.grow = nn.ModuleList(grow(config.growth, above, below) for below, above in pairwise(maps))
        wide = 2 if config.skips else 1
        self.up = nn.ModuleList(_double(config, wide * below, below) for below in maps[:-1])
        self.head = nn.Conv2d(config.channels, outputs, 1)
        self.skips = config.skips

    def forward(self, x_BCHW: Tensor) -> Tensor:
        passed = []
        for level, convolve in enumerate(self.down):
            maps_BDHW = convolve(x_BCHW)
            if level + 1 < len(self.down):
                x_BCHW, places = functional.max_pool2d(maps_BDHW, 2, return_indices=True)
                passed.append((maps_BDHW, places))
        x_BCHW = self.dropout(maps_BDHW)
        for (maps_BDHW, places), larger, convolve in reversed(list(zip(passed, self.grow, self.up, strict=True))):
            x_BCHW = larger(x_BCHW, places)
            x_BCHW = convolve(torch.cat([maps_BDHW, x_BCHW], dim=1) if self.skips else x_BCHW)
        scores_BKHW: Tensor = self.head(x_BCHW)
        return scores_BKHW


def _double(config: Config, before: int, after: int) -> nn.Module:
    return nn.Sequential(*convolutions(before, after, 2, config.norm))
