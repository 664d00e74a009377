"""Moves bounding boxes along with an augmented image.

Boxes are (N, 4), each x0, y0, x1, y1 in pixels: pixel i spans i to i + 1, so that x1 = W is the right edge.
A box without area is padding. Functions return unclipped float64; `within` clips.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from millstream.tracking.augmentations.op import Parameters, as_dtype

Boxes = NDArray[Any]
Size = tuple[int, ...]
"""Height and width of the image in pixels."""


def shift(boxes_N4: Boxes, parameters: Parameters, size: Size) -> Boxes:
    moved_N4: Boxes = boxes_N4.astype(np.float64) + np.array([parameters["right"], parameters["down"]] * 2)
    return moved_N4


def crop(boxes_N4: Boxes, parameters: Parameters, size: Size) -> Boxes:
    down, right = (parameters["padding"] - parameters[edge] for edge in ("top", "left"))
    return shift(boxes_N4, {"down": down, "right": right}, size)


def flip(boxes_N4: Boxes, parameters: Parameters, size: Size) -> Boxes:
    x0, y0, x1, y1 = boxes_N4.astype(np.float64).T
    return np.stack([size[1] - x1, y0, size[1] - x0, y1] if parameters["flipped"] else [x0, y0, x1, y1], axis=1)


def rotate(boxes_N4: Boxes, parameters: Parameters, size: Size) -> Boxes:
    """Smallest axis-aligned box around the four rotated corners, so that it never loses its object."""
    angle = np.deg2rad(parameters["degrees"])
    # y points down, and the rotation is counter-clockwise
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    centre = np.array([size[1], size[0]]) / 2
    corners_N42 = boxes_N4.astype(np.float64)[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]
    turned_N42 = (corners_N42 - centre) @ turn.T + centre
    return np.concatenate([turned_N42.min(axis=1), turned_N42.max(axis=1)], axis=1)


def scale(boxes_N4: Boxes, parameters: Parameters, size: Size) -> Boxes:
    centre = np.array([size[1], size[0]] * 2) / 2
    moved_N4: Boxes = (boxes_N4.astype(np.float64) - centre) * parameters["factor"] + centre
    return moved_N4


def fetched(boxes_N4: Boxes, rows_HW: Boxes, columns_HW: Boxes) -> Boxes:
    """Smallest boxes of whole pixels around the pixels that were fetched from inside the old boxes."""
    moved_N4 = np.zeros((len(boxes_N4), 4))
    for at, (x0, y0, x1, y1) in enumerate(boxes_N4.astype(np.float64)):
        # a pixel's centre is at its index + 0.5
        inside_HW = (columns_HW + 0.5 >= x0) & (columns_HW + 0.5 < x1) & (rows_HW + 0.5 >= y0) & (rows_HW + 0.5 < y1)
        rows, columns = np.flatnonzero(inside_HW.any(axis=1)), np.flatnonzero(inside_HW.any(axis=0))
        if len(rows):
            moved_N4[at] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return moved_N4


def within(moved_N4: Boxes, before_N4: Boxes, size: Size) -> Boxes:
    """The moved boxes clipped to the image, in their old dtype; four zeros for padding and boxes outside the image."""
    clipped_N4 = as_dtype(np.clip(moved_N4, 0, np.array([size[1], size[0]] * 2)), before_N4.dtype)
    empty_N = _is_empty(before_N4) | _is_empty(clipped_N4)
    clipped_N4[empty_N] = 0
    return clipped_N4


def _is_empty(boxes_N4: Boxes) -> NDArray[np.bool_]:
    empty: NDArray[np.bool_] = (boxes_N4[:, 2] <= boxes_N4[:, 0]) | (boxes_N4[:, 3] <= boxes_N4[:, 1])
    return empty
