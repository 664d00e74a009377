"""Frames of an episode."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image


def frames(images: Sequence[NDArray[Any]], steps: Sequence[int]) -> Figure:
    """A strip of frames (H, W, 3), uint8, titled with their steps."""
    figure = Figure(figsize=(2.2 * len(images), 1.9), layout="constrained")
    for axes, image, step in zip(figure.subplots(1, len(images), squeeze=False)[0], images, steps, strict=True):
        axes.imshow(image)
        axes.set_title(f"step {step}", fontsize=8)
        axes.axis("off")
    return figure


def pixels(figure: Figure) -> NDArray[np.uint8]:
    """The figure as an image (H, W, 3), a frame of an animation."""
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return np.asarray(Image.open(out).convert("RGB"))


def film(images: Sequence[NDArray[Any]], seconds_a_frame: float) -> bytes:
    """A looping animated GIF."""
    quantized = [Image.fromarray(np.asarray(image, np.uint8)).quantize(32) for image in images]
    out = io.BytesIO()
    duration_ms = int(1000 * seconds_a_frame)
    quantized[0].save(out, format="GIF", save_all=True, append_images=quantized[1:], duration=duration_ms, loop=0)
    return out.getvalue()
