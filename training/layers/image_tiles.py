"""Image crops: patches at given positions for training, and overlap-tile inference on whole images.

Source: the overlap-tile strategy of Ronneberger et al. 2015, arXiv 1505.04597, section 2 and figure 2.
Axes: B rows, C channels, H height, W width; P patches per row, S their side; K output channels.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def cut(maps_BCHW: Tensor, starts_2BP: Tensor, side: int) -> Tensor:
    """Patches (B P, C, S, S) with their upper left corners at the given pixel rows and columns."""
    rows_BPS, columns_BPS = starts_2BP[..., None] + torch.arange(side, device=maps_BCHW.device)
    rows_BPS1, columns_BP1S = rows_BPS[..., None], columns_BPS[..., None, :]
    whose_B111 = torch.arange(len(maps_BCHW), device=maps_BCHW.device)[:, None, None, None]
    found_BPSSC = maps_BCHW.permute(0, 2, 3, 1)[whose_B111, rows_BPS1, columns_BP1S]
    return found_BPSSC.flatten(end_dim=1).permute(0, 3, 1, 2).contiguous()


def tiled(predict: Callable[[Tensor], Tensor], x_BCHW: Tensor, side: int, margin: int) -> Tensor:
    """Predictions (B, K, H, W) for whole images, assembled from `predict` applied to tiles (B, C, side, side).

    The outer `margin` pixels of each tile's prediction are discarded, since they lack context on one side; the adjacent
    tile predicts them. The image is padded by reflection. A network whose receptive field reaches at most `margin`
    pixels predicts the same as on the whole image. `margin` is under half of `side`.
    """
    height, width = x_BCHW.shape[2:]
    step = side - 2 * margin
    rows, columns = -(-height // step), -(-width // step)
    down = mirrored(height, margin, rows * step + margin).to(x_BCHW.device)
    along = mirrored(width, margin, columns * step + margin).to(x_BCHW.device)
    wider_BCHW = x_BCHW[:, :, down][:, :, :, along]
    predicted = [
        torch.cat(
            [_middle(predict, wider_BCHW, row * step, column * step, side, margin) for column in range(columns)], 3
        )
        for row in range(rows)
    ]
    return torch.cat(predicted, dim=2)[:, :, :height, :width]


def mirrored(size: int, before: int, until: int) -> Tensor:
    """Indices from -before up to (excluding) until, reflected at the first and last pixel of a line of `size`."""
    period = max(1, 2 * (size - 1))
    place = torch.arange(-before, until).remainder(period)
    return torch.minimum(place, period - place) if size > 1 else torch.zeros_like(place)


def _middle(
    predict: Callable[[Tensor], Tensor], wider_BCHW: Tensor, top: int, left: int, side: int, margin: int
) -> Tensor:
    predicted_BKSS = predict(wider_BCHW[:, :, top : top + side, left : left + side])
    return predicted_BKSS[:, :, margin : side - margin, margin : side - margin]
