"""Figures of a convolutional network: filters, feature maps, and class activation maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from numpy.typing import NDArray

from millstream.tracking.figures.style import panel

COLUMNS = 8
MOST_FILTERS = 64
COLOURED = (1, 3)
"""Channel counts that can be shown as an image."""
COVERED = 0.6
"""Opacity of the activation overlay."""
TINY = np.finfo(np.float32).tiny


def filters(weights_DCHW: NDArray[Any]) -> Figure:
    """Kernels of the first convolution as images, each scaled symmetrically around 0."""
    shown = weights_DCHW[:MOST_FILTERS]
    if shown.shape[1] not in COLOURED:
        shown = shown.mean(axis=1, keepdims=True)
    largest = np.abs(shown).max(axis=(1, 2, 3), keepdims=True)
    of_all = "" if len(weights_DCHW) == len(shown) else f"{len(shown)} of "
    tiles = _coloured(shown / np.maximum(largest, TINY) / 2 + 0.5)
    figure, axes = panel(6.4, 0.8 * -(-len(tiles) // COLUMNS) + 0.6, title=f"{of_all}{len(weights_DCHW)} filters")
    axes.axis("off")
    axes.imshow(mosaic(tiles, COLUMNS))
    return figure


def feature_maps(image_CHW: NDArray[Any], maps: Mapping[str, NDArray[Any]]) -> Figure:
    """One row per layer: the image, then the layer's first maps (D, h, w), each on its own scale."""
    figure = Figure(figsize=(1.1 * (COLUMNS + 1), 1.35 * len(maps)), layout="constrained")
    rows = figure.subplots(len(maps), 2, squeeze=False, width_ratios=(1, COLUMNS))
    for axes in rows.ravel():
        axes.axis("off")
    for (axes, beside), (layer, maps_Dhw) in zip(rows, maps.items(), strict=True):
        axes.imshow(_coloured(_within(image_CHW)[None])[0])
        shown = maps_Dhw[:COLUMNS]
        low, high = (edge(shown, axis=(1, 2), keepdims=True) for edge in (np.min, np.max))
        beside.imshow(mosaic(colormaps["viridis"]((shown - low) / np.maximum(high - low, TINY))[..., :3], COLUMNS))
        size = " x ".join(str(side) for side in maps_Dhw.shape)
        beside.set_title(f"{layer}: {size}", fontsize=7, loc="left", parse_math=False)
    return figure


def activation_maps(images_NCHW: NDArray[Any], maps_NHW: NDArray[Any], titles: Sequence[str]) -> Figure:
    """Each image with its class activation map (0 to 1) overlaid, for the class in its title."""
    plain = [_coloured(_within(image_CHW)[None])[0] for image_CHW in images_NCHW]
    spoken = colormaps["inferno"](maps_NHW.clip(0, 1))[..., :3]
    pairs = [
        np.concatenate([image, COVERED * over + (1 - COVERED) * image.mean(axis=2, keepdims=True)], axis=1)
        for image, over in zip(plain, spoken, strict=True)
    ]
    columns = min(COLUMNS // 2, len(pairs))
    rows = -(-len(pairs) // columns)
    figure, axes = panel(3.0 * columns, 1.75 * rows + 0.2)
    axes.axis("off")
    height, width = maps_NHW.shape[1], 2 * maps_NHW.shape[2]
    band = -(-height // 4)  # for the titles
    tiles = np.stack([np.pad(image, [(band, 0), (0, 0), (0, 0)], constant_values=1) for image in pairs])
    axes.imshow(mosaic(tiles, columns))
    for at, title in enumerate(titles):
        row, column = divmod(at, columns)
        place = (column * (width + 1) - 0.5, row * (height + band + 1) + (band - 1) / 2)
        axes.text(*place, title, fontsize=8, va="center", parse_math=False, clip_on=True)
    return figure


def mosaic(tiles_NHWC: NDArray[Any], columns: int) -> NDArray[Any]:
    """Images tiled in rows of `columns` with white lines between, as one image: much faster than one axes per image."""
    rows = -(-len(tiles_NHWC) // columns)
    _, height, width, channels = tiles_NHWC.shape
    whole = np.ones((rows, columns, height + 1, width + 1, channels))
    whole.reshape(-1, *whole.shape[2:])[: len(tiles_NHWC), :height, :width] = tiles_NHWC
    joined = whole.transpose(0, 2, 1, 3, 4).reshape(rows * (height + 1), columns * (width + 1), channels)
    return joined[:-1, :-1]


def _within(image_CHW: NDArray[Any]) -> NDArray[Any]:
    """Rescaled to 0 to 1 if it exceeds that range: network inputs may be standardised."""
    low, high = min(0.0, float(image_CHW.min())), max(1.0, float(image_CHW.max()))
    return (image_CHW - low) / (high - low)


def _coloured(images_NCHW: NDArray[Any]) -> NDArray[Any]:
    """RGB, (N, H, W, 3); for other channel counts the mean over channels."""
    if images_NCHW.shape[1] not in COLOURED:
        images_NCHW = images_NCHW.mean(axis=1, keepdims=True)
    images_NHWC = images_NCHW.transpose(0, 2, 3, 1)
    return np.broadcast_to(images_NHWC, (*images_NHWC.shape[:3], 3))
