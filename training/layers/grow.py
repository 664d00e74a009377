"""Upsampling layers for feature maps, interchangeable by configuration.

Sources: transposed convolution: Zeiler et al. 2010, doi:10.1109/CVPR.2010.5539957; pixel shuffle: Shi et al. 2016,
arXiv 1609.05158, section 3.2; max unpooling: Zeiler & Fergus 2014, arXiv 1311.2901, section 2.1; nearest and bilinear
followed by a convolution, against checkerboard artifacts: Odena et al. 2016, doi:10.23915/distill.00003.
Axes: B rows, C input channels, D output channels, H height, W width, F factor.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Growth = Literal["nearest", "bilinear", "transposed", "shuffle", "unpool"]

PlainGrowth = Literal["nearest", "bilinear", "transposed", "shuffle"]
"""Methods that need no pooling indices."""


def grow(kind: Growth, before: int, after: int, factor: int = 2) -> nn.Module:
    """A layer from maps (B, C, H, W), and the indices of the pooling that it inverts, to (B, D, FH, FW)."""
    if kind == "unpool":
        return Unpooled(before, after, factor)
    if kind == "transposed":
        return Grown(nn.ConvTranspose2d(before, after, factor, factor))
    if kind == "shuffle":
        return Grown(nn.Conv2d(before, after * factor**2, 3, padding=1), nn.PixelShuffle(factor))
    upsample = nn.Upsample(scale_factor=factor, mode=kind, align_corners=False if kind == "bilinear" else None)
    return Grown(upsample, nn.Conv2d(before, after, 3, padding=1))


class Grown(nn.Module):
    """Upsampling that ignores pooling indices."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x_BCHW: Tensor, places_BEHW: Tensor | None = None) -> Tensor:
        grown_BDHW: Tensor = self.layers(x_BCHW)
        return grown_BDHW


class Unpooled(nn.Module):
    """Max unpooling between two convolutions: each value goes to the position of the maximum, zeros elsewhere."""

    def __init__(self, before: int, after: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.before = nn.Conv2d(before, after, 3, padding=1)
        self.after = nn.Conv2d(after, after, 3, padding=1)

    def forward(self, x_BCHW: Tensor, places_BDHW: Tensor) -> Tensor:
        """`places` are the indices returned by a pooling by F of D maps, into the flattened maps of FH x FW."""
        return functional.relu(self.after(unpooled(self.before(x_BCHW), places_BDHW, self.factor)))


def unpooled(x_BDHW: Tensor, places_BDHW: Tensor, factor: int = 2) -> Tensor:
    """The values at their indices in maps F times as high and wide, (B, D, FH, FW); 0 elsewhere."""
    rows, maps, height, width = x_BDHW.shape
    empty = torch.zeros(rows, maps, factor**2 * height * width, dtype=x_BDHW.dtype, device=x_BDHW.device)
    # not functional.max_unpool2d: it has no deterministic GPU implementation, and cannot be exported
    flat = empty.scatter(2, places_BDHW.flatten(start_dim=2), x_BDHW.flatten(start_dim=2))
    return flat.reshape(rows, maps, factor * height, factor * width)
