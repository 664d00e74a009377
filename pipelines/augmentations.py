"""Changes of one image, each a pure function of the image and its drawn parameters.

Axes: C channels, H height, W width. Images come and go in their own dtype; what moves in from outside is 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Image = NDArray[Any]
Parameters = dict[str, Any]


def shift(image_CHW: Image, parameters: Parameters) -> Image:
    """The image moved `down` and `right` by whole pixels."""
    down, right = parameters["down"], parameters["right"]
    moved = np.zeros_like(image_CHW)
    height, width = image_CHW.shape[1:]
    if abs(down) < height and abs(right) < width:
        to_rows, from_rows = _spans(down, height)
        to_columns, from_columns = _spans(right, width)
        moved[:, to_rows, to_columns] = image_CHW[:, from_rows, from_columns]
    return moved


def rotate(image_CHW: Image, parameters: Parameters) -> Image:
    """The image turned about its centre by `degrees`, counter-clockwise, by bilinear interpolation."""
    turned = ndimage.rotate(
        image_CHW.astype(np.float64), parameters["degrees"], axes=(2, 1), reshape=False, order=1, mode="constant"
    )
    return _as(turned, image_CHW.dtype)


def noise(image_CHW: Image, parameters: Parameters) -> Image:
    """The image plus normal noise whose deviation is `deviation` of the dtype's range, drawn from `seed`."""
    reach = 255.0 if image_CHW.dtype == np.uint8 else 1.0
    drawn = np.random.Generator(np.random.PCG64(parameters["seed"])).standard_normal(image_CHW.shape)
    return _as(image_CHW + drawn * parameters["deviation"] * reach, image_CHW.dtype)


def draw_shift(most: float, generator: np.random.Generator) -> Parameters:
    down, right = generator.integers(-int(most), int(most) + 1, size=2).tolist()
    return {"down": down, "right": right}


def draw_rotate(most: float, generator: np.random.Generator) -> Parameters:
    return {"degrees": round(float(generator.uniform(-most, most)), 4)}


def draw_noise(deviation: float, generator: np.random.Generator) -> Parameters:
    return {"deviation": deviation, "seed": int(generator.integers(1 << 62))}


CHANGES: dict[str, tuple[Callable[[float, np.random.Generator], Parameters], Callable[[Image, Parameters], Image]]] = {
    "shift": (draw_shift, shift),
    "rotate": (draw_rotate, rotate),
    "noise": (draw_noise, noise),
}
"""Name: how its parameters are drawn for a given strength, and what it does."""


def _spans(by: int, size: int) -> tuple[slice, slice]:
    return (slice(by, size), slice(0, size - by)) if by >= 0 else (slice(0, size + by), slice(-by, size))


def _as(values: NDArray[Any], dtype: Any) -> Image:
    if np.issubdtype(dtype, np.integer):
        info = np.iinfo(dtype)
        values = np.clip(np.rint(values), info.min, info.max)
    changed: Image = values.astype(dtype)
    return changed
