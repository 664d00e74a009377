"""Stacked 3x3 convolutions, each with norm and ReLU: a stage of VGG, U-Net and fully convolutional networks.

Source: Simonyan & Zisserman 2015, arXiv 1409.1556, section 2.1.
Axes: B rows, C channels, H height, W width.
"""

from __future__ import annotations

from torch import nn

from millstream.training.layers.norm import Norm, norm


def convolutions(before: int, after: int, count: int, kind: Norm) -> list[nn.Module]:
    """Layers from maps (B, `before`, H, W) to (B, `after`, H, W); convolutions with a norm have no bias."""
    layers: list[nn.Module] = []
    for read in [before, *[after] * (count - 1)]:
        normed = norm(kind, after, maps=True)
        layers += [nn.Conv2d(read, after, 3, padding=1, bias=not normed), *normed, nn.ReLU()]
    return layers
