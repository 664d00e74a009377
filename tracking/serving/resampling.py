"""Resizes stored images, identically in preparation and serving."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

METHODS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "area": Image.Resampling.BOX,
}


def resized(content: Any, learned: Mapping[str, Any]) -> bytes:
    """Bytes of an image (C, H, W) resized from `learned`'s `from_shape` to its `shape`, in the same dtype.

    `content` is raw little-endian bytes, or a (nested) list or array of numbers.
    """
    dtype = np.dtype(learned["dtype"]).newbyteorder("<")
    is_bytes = isinstance(content, bytes | bytearray | memoryview)
    image_CHW = (np.frombuffer(content, dtype) if is_bytes else np.asarray(content, dtype)).reshape(
        learned["from_shape"]
    )
    _, height, width = learned["shape"]
    # one channel at a time, as float32: the only Pillow mode that fits every dtype and channel count
    made = [
        np.asarray(Image.fromarray(plane.astype(np.float32)).resize((width, height), METHODS[learned["by"]]))
        for plane in image_CHW
    ]
    stacked = np.stack(made)
    if dtype.kind in "ui":
        limits = np.iinfo(dtype)
        stacked = np.clip(np.rint(stacked), limits.min, limits.max)
    content_again: bytes = stacked.astype(dtype).tobytes()
    return content_again
