"""Stacks existing figures vertically."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure
from numpy.typing import NDArray

WIDE = 9.0
"""Inches."""
HEADING = 0.3


def stacked(figures: Mapping[str, NDArray[Any]]) -> Figure:
    """Each image (H, W, 3 or 4), at least one, in full width under its name."""
    heights = [WIDE * pixels.shape[0] / pixels.shape[1] + HEADING for pixels in figures.values()]
    figure = Figure(figsize=(WIDE, sum(heights)), layout="constrained")
    rows = figure.subplots(len(figures), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes in rows:
        axes.axis("off")
    for axes, (name, pixels) in zip(rows, figures.items(), strict=True):
        axes.imshow(pixels, interpolation="antialiased")
        axes.set_title(name, fontsize=9, loc="left", parse_math=False)
    return figure
