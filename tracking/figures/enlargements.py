"""Super-resolution results next to the true images and their bicubic upsampling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

COLUMNS = ("bicubic", "predicted", "true")
SIDE = 96
"""Pixels per side of the crop shown: in a whole image the difference would be invisible."""


def enlargements(images: Sequence[Sequence[NDArray[Any]]], decibels: Sequence[Sequence[float]]) -> Figure:
    """Per image its bicubic upsampling, prediction and truth, (C, H, W) with values in [0, 1].

    Shows the crop in which bicubic upsampling has the largest error; `decibels` are the PSNR of the first two, over the
    whole image.
    """
    figure = Figure(figsize=(2.6 * len(COLUMNS), 2.8 * max(1, len(images))), layout="constrained")
    rows = figure.subplots(max(1, len(images)), len(COLUMNS), squeeze=False)
    for axes in rows.ravel():
        axes.axis("off")
    for row, three, predicted_dB in zip(rows, images, decibels, strict=False):
        part = hardest(three[0], three[-1])
        titles = [*(f"{name} {value:.2f} dB" for name, value in zip(COLUMNS, predicted_dB, strict=False)), COLUMNS[-1]]
        for axes, image_CHW, title in zip(row, three, titles, strict=True):
            shown = image_CHW[:, *part].transpose(1, 2, 0).clip(0, 1)
            axes.imshow(shown.squeeze(-1) if shown.shape[-1] == 1 else shown, cmap="gray", vmin=0, vmax=1)
            axes.set_title(title, fontsize=9, parse_math=False)
    return figure


def hardest(predicted_CHW: NDArray[Any], true_CHW: NDArray[Any]) -> tuple[slice, slice]:
    """Rows and columns of the crop of at most `SIDE` pixels per side with the largest sum of squared errors."""
    error_HW = np.square(predicted_CHW.astype(np.float64) - true_CHW).sum(axis=0)
    height, width = (min(SIDE, side) for side in error_HW.shape)
    # sums of all crops at once, by a summed-area table
    corner = np.pad(error_HW, [(1, 0), (1, 0)]).cumsum(axis=0).cumsum(axis=1)
    sums = corner[height:, width:] - corner[:-height, width:] - corner[height:, :-width] + corner[:-height, :-width]
    top, left = np.unravel_index(sums.argmax(), sums.shape)
    return slice(int(top), int(top) + height), slice(int(left), int(left) + width)
