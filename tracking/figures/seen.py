"""What a network of convolutions makes of pictures: its filters, its maps, and the places that speak for a class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from tracking.figures.samples import samples

COLUMNS = 8
MOST_FILTERS = 64
COLOURED = (1, 3)
"""Channels that can be shown as a picture."""


def filters(weights_DCHW: NDArray[Any]) -> Figure:
    """The kernels of the first convolution as pictures, each on its own scale with 0 in the middle."""
    shown = weights_DCHW[:MOST_FILTERS]
    if shown.shape[1] not in COLOURED:
        shown = shown.mean(axis=1, keepdims=True)
    largest = np.abs(shown).max(axis=(1, 2, 3), keepdims=True)
    told = "" if len(weights_DCHW) <= MOST_FILTERS else f", {MOST_FILTERS} of {len(weights_DCHW)}"
    return samples(shown / np.maximum(largest, np.finfo(np.float32).tiny) / 2 + 0.5, title=f"first convolution{told}")


def feature_maps(image_CHW: NDArray[Any], maps: Mapping[str, NDArray[Any]]) -> Figure:
    """A row for each layer: the picture, then the first of the layer's maps (D, h, w), each on its own scale."""
    figure = Figure(figsize=(1.1 * (COLUMNS + 1), 1.3 * len(maps)), layout="constrained")
    rows = figure.subplots(len(maps), COLUMNS + 1, squeeze=False)
    for axes in rows.ravel():
        axes.axis("off")
    for row, (layer, maps_Dhw) in zip(rows, maps.items(), strict=True):
        _picture(row[0], image_CHW)
        row[0].set_title(f"{layer}: {'x'.join(str(one) for one in maps_Dhw.shape)}", fontsize=7, parse_math=False)
        for axes, map_hw in zip(row[1:], maps_Dhw, strict=False):
            axes.imshow(map_hw, cmap="viridis")
    return figure


def activation_maps(images_NCHW: NDArray[Any], maps_NHW: NDArray[Any], titles: Sequence[str]) -> Figure:
    """Each picture, and over it how much each place (0 to 1) spoke for the class in its title."""
    columns = min(4, len(images_NCHW))
    rows = -(-len(images_NCHW) // columns)
    figure = Figure(figsize=(2 * 1.5 * columns, 1.8 * rows), layout="constrained")
    panels = figure.subplots(rows, 2 * columns, squeeze=False).ravel()
    for axes in panels:
        axes.axis("off")
    for at, (image_CHW, map_HW, title) in enumerate(zip(images_NCHW, maps_NHW, titles, strict=True)):
        plain, covered = panels[2 * at : 2 * at + 2]
        _picture(plain, image_CHW)
        _picture(covered, image_CHW.mean(axis=0, keepdims=True))
        covered.imshow(map_HW, cmap="inferno", alpha=0.6, vmin=0, vmax=1)
        plain.set_title(title, fontsize=8, parse_math=False)
    return figure


def _picture(axes: Any, image_CHW: NDArray[Any]) -> None:
    """Brought to the range from 0 to 1, if it is beyond: what a network reads may have been standardised."""
    low, high = min(0.0, float(image_CHW.min())), max(1.0, float(image_CHW.max()))
    shown = ((image_CHW - low) / (high - low)).transpose(1, 2, 0)
    if shown.shape[-1] not in COLOURED:
        shown = shown.mean(axis=-1, keepdims=True)
    axes.imshow(shown.squeeze(-1) if shown.shape[-1] == 1 else shown, cmap="gray", vmin=0, vmax=1)
