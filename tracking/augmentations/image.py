"""Image augmentations, each a pure function of the image and its sampled parameters.

Axes: C channels, H height, W width, N boxes. Images keep their dtype; pixels from outside are 0.
Geometric ops transform masks and boxes too: `along`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import scipy  # its submodules are imported at their first use
from numpy.typing import NDArray

from millstream.tracking.augmentations import boxes
from millstream.tracking.augmentations.op import Drawn, Op, Parameters, as_dtype, draw_seed, generator_of

Image = NDArray[Any]
SMOOTHING = 4.0
"""Standard deviation in pixels of the Gaussian that smooths elastic displacements, as in Simard et al. 2003."""


def shift(image_CHW: Image, parameters: Parameters) -> Image:
    """The image translated `down` and `right` by whole pixels."""
    down, right = parameters["down"], parameters["right"]
    moved = np.zeros_like(image_CHW)
    height, width = image_CHW.shape[1:]
    if abs(down) < height and abs(right) < width:
        to_rows, from_rows = _spans(down, height)
        to_columns, from_columns = _spans(right, width)
        moved[:, to_rows, to_columns] = image_CHW[:, from_rows, from_columns]
    return moved


def crop(image_CHW: Image, parameters: Parameters) -> Image:
    """A crop of the image's own size at (`top`, `left`) of the image padded with `padding` zeros."""
    padding = parameters["padding"]
    return shift(image_CHW, {"down": padding - parameters["top"], "right": padding - parameters["left"]})


def flip(image_CHW: Image, parameters: Parameters) -> Image:
    """The image flipped horizontally, if `flipped`."""
    return np.ascontiguousarray(image_CHW[:, :, ::-1]) if parameters["flipped"] else image_CHW


def rotate(image_CHW: Image, parameters: Parameters, *, order: int = 1) -> Image:
    """The image rotated about its centre by `degrees`, counter-clockwise, with bilinear interpolation (`order` 1)."""
    turned = scipy.ndimage.rotate(
        image_CHW.astype(np.float64), parameters["degrees"], axes=(2, 1), reshape=False, order=order, mode="constant"
    )
    return as_dtype(turned, image_CHW.dtype)


def scale(image_CHW: Image, parameters: Parameters, *, order: int = 1) -> Image:
    """The image zoomed by `factor` about its centre, cropped or zero-padded to its size."""
    steps = np.array([1.0, 1 / parameters["factor"], 1 / parameters["factor"]])
    centre = (np.array(image_CHW.shape) - 1) / 2
    zoomed = scipy.ndimage.affine_transform(
        image_CHW.astype(np.float64), steps, centre - steps * centre, order=order, mode="constant"
    )
    return as_dtype(zoomed, image_CHW.dtype)


def elastic(image_CHW: Image, parameters: Parameters, *, order: int = 1) -> Image:
    """Elastic distortion: each pixel is sampled at a position moved by smooth random displacements.

    Simard, Steinkraus & Platt 2003, doi:10.1109/ICDAR.2003.1227801: uniform displacements in +-1, smoothed with a
    Gaussian of 4 pixels, times `alpha`.
    """
    rows_HW, columns_HW = _sources(image_CHW.shape[1:], parameters)
    fetched = [
        scipy.ndimage.map_coordinates(channel.astype(np.float64), (rows_HW, columns_HW), order=order, mode="constant")
        for channel in image_CHW
    ]
    return as_dtype(np.stack(fetched), image_CHW.dtype)


def brightness(image_CHW: Image, parameters: Parameters) -> Image:
    """The image times `factor`; integer pixels are clipped to their dtype."""
    return as_dtype(image_CHW * np.float64(parameters["factor"]), image_CHW.dtype)


def noise(image_CHW: Image, parameters: Parameters) -> Image:
    """The image plus Gaussian noise, with standard deviation `deviation` times the dtype's range, seeded by `seed`."""
    reach = 255.0 if image_CHW.dtype == np.uint8 else 1.0
    normal = generator_of(parameters["seed"]).standard_normal(image_CHW.shape)
    return as_dtype(image_CHW + normal * parameters["deviation"] * reach, image_CHW.dtype)


def blur(image_CHW: Image, parameters: Parameters) -> Image:
    """Gaussian blur with a standard deviation of `deviation` pixels; edge pixels are repeated outside."""
    by = parameters["deviation"]
    return as_dtype(
        scipy.ndimage.gaussian_filter(image_CHW.astype(np.float64), (0, by, by), mode="nearest"), image_CHW.dtype
    )


def cutout(image_CHW: Image, parameters: Parameters) -> Image:
    """The image with a zeroed square of `side` pixels around (`down`, `right`), fractions of height and width.

    DeVries & Taylor 2017, arXiv:1708.04552: the centre may be any pixel, so that part of the square may lie outside.
    """
    side, cut = parameters["side"], image_CHW.copy()
    height, width = image_CHW.shape[1:]
    top, left = int(parameters["down"] * height) - side // 2, int(parameters["right"] * width) - side // 2
    cut[:, max(0, top) : max(0, top + side), max(0, left) : max(0, left + side)] = 0
    return cut


def along(
    image_CHW: Image, ops: Drawn, masks: Sequence[Image] = (), boxes_N4: Image | None = None
) -> tuple[Image, tuple[Image, ...], Image | None]:
    """The image after all of `ops`, with its masks (H, W) or (C, H, W) and boxes transformed alike.

    Masks use nearest-neighbour sampling, so that values stay labels; boxes are x0, y0, x1, y1 in pixels, see `boxes`.
    """
    size = image_CHW.shape[1:]
    moved_masks = [mask.reshape(-1, *size) for mask in masks]
    for op in ops:
        for name, parameters in op.items():
            image_CHW = CHANGES[name].change(image_CHW, parameters)
            if name in NEAREST:
                moved_masks = [NEAREST[name](mask, parameters) for mask in moved_masks]
            if name in MOVED and boxes_N4 is not None:
                boxes_N4 = boxes.within(MOVED[name](boxes_N4, parameters, size), boxes_N4, size)
    kept = tuple(moved.reshape(mask.shape) for moved, mask in zip(moved_masks, masks, strict=True))
    return image_CHW, kept, boxes_N4


def draw_shift(most: float, generator: np.random.Generator) -> Parameters:
    down, right = generator.integers(-int(most), int(most) + 1, size=2).tolist()
    return {"down": down, "right": right}


def draw_crop(padding: float, generator: np.random.Generator) -> Parameters:
    top, left = generator.integers(0, 2 * int(padding) + 1, size=2).tolist()
    return {"padding": int(padding), "top": top, "left": left}


def draw_flip(probability: float, generator: np.random.Generator) -> Parameters:
    return {"flipped": bool(generator.random() < probability)}


def draw_rotate(most: float, generator: np.random.Generator) -> Parameters:
    return {"degrees": round(float(generator.uniform(-most, most)), 4)}


def draw_factor(most: float, generator: np.random.Generator) -> Parameters:
    return {"factor": round(float(generator.uniform(1 - most, 1 + most)), 6)}


def draw_elastic(alpha: float, generator: np.random.Generator) -> Parameters:
    return {"alpha": alpha, "seed": draw_seed(generator)}


def draw_noise(deviation: float, generator: np.random.Generator) -> Parameters:
    return {"deviation": deviation, "seed": draw_seed(generator)}


def draw_blur(most: float, generator: np.random.Generator) -> Parameters:
    return {"deviation": round(float(generator.uniform(0, most)), 4)}


def draw_cutout(side: float, generator: np.random.Generator) -> Parameters:
    down, right = generator.random(2).round(6).tolist()
    return {"side": int(side), "down": down, "right": right}


CHANGES: dict[str, Op] = {
    "shift": Op(draw_shift, shift, "pixels", least=1),
    "crop": Op(draw_crop, crop, "pixels of padding", least=1),
    "flip": Op(draw_flip, flip, "probability", 1),
    "rotate": Op(draw_rotate, rotate, "degrees"),
    "scale": Op(draw_factor, scale, "share of the size", 0.99),
    "elastic": Op(draw_elastic, elastic, "alpha, in pixels"),
    "brightness": Op(draw_factor, brightness, "share of the brightness", 1),
    "noise": Op(draw_noise, noise, "share of the range"),
    "blur": Op(draw_blur, blur, "deviation in pixels"),
    "cutout": Op(draw_cutout, cutout, "side in pixels", least=1),
}

NEAREST: dict[str, Callable[[Image, Parameters], Image]] = {
    "shift": shift,
    "crop": crop,
    "flip": flip,
    "rotate": partial(rotate, order=0),
    "scale": partial(scale, order=0),
    "elastic": partial(elastic, order=0),
}
"""Geometric ops, for masks (nearest-neighbour)."""


def _sources(size: tuple[int, ...], parameters: Parameters) -> tuple[Image, Image]:
    """Source row and column of each pixel for elastic, both (H, W)."""
    uniform_2HW = generator_of(parameters["seed"]).uniform(-1, 1, (2, *size))
    by_2HW = (
        scipy.ndimage.gaussian_filter(uniform_2HW, (0, SMOOTHING, SMOOTHING), mode="constant") * parameters["alpha"]
    )
    rows_HW, columns_HW = np.indices(size) + by_2HW
    return rows_HW, columns_HW


def _elastic_boxes(boxes_N4: Image, parameters: Parameters, size: tuple[int, ...]) -> Image:
    return boxes.fetched(boxes_N4, *_sources(size, parameters))


MOVED: dict[str, Callable[[Image, Parameters, tuple[int, ...]], Image]] = {
    "shift": boxes.shift,
    "crop": boxes.crop,
    "flip": boxes.flip,
    "rotate": boxes.rotate,
    "scale": boxes.scale,
    "elastic": _elastic_boxes,
}
"""Geometric ops, for boxes."""


def _spans(by: int, size: int) -> tuple[slice, slice]:
    return (slice(by, size), slice(0, size - by)) if by >= 0 else (slice(0, size + by), slice(-by, size))
