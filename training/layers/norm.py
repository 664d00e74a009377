"""Configurable normalization layer: none, batch, layer or group norm.

Sources: batch: Ioffe & Szegedy 2015, arXiv 1502.03167; layer: Ba et al. 2016, arXiv 1607.06450; group: Wu & He 2018,
arXiv 1803.08494.
Axes: B rows, C channels.
"""

from __future__ import annotations

from typing import Literal

from torch import nn

Norm = Literal["none", "batch", "layer", "group"]

MOST_GROUPS = 32
SMALLEST_GROUP = 2


def norm(kind: Norm, channels: int, *, maps: bool) -> list[nn.Module]:
    """The layer, if any, for rows (B, C) or, with `maps`, for images (B, C, ...); each channel has a scale and a shift.

    Layer norm of maps is over all channels and positions of a row. Group norm has the largest number of groups, at most
    32, that divides the channels into groups of two or more.
    """
    if kind == "none":
        return []
    if kind == "batch":
        return [nn.BatchNorm2d(channels) if maps else nn.BatchNorm1d(channels)]
    if kind == "layer":
        return [nn.GroupNorm(1, channels) if maps else nn.LayerNorm(channels)]
    return [nn.GroupNorm(_groups(channels), channels)]


def _groups(channels: int) -> int:
    most = max(1, min(MOST_GROUPS, channels // SMALLEST_GROUP))
    return next(count for count in range(most, 0, -1) if channels % count == 0)
