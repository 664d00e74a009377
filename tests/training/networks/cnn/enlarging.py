"""Signatures of coarse images and the fine ones that belong to them, as the step coarsen makes them."""

from __future__ import annotations

from millstream.tracking.dataset.records import Affine, Column
from millstream.tracking.dataset.signature import Signature

UNIT = Affine(factor=1 / 255)


def pair(
    channels: int, height: int, width: int, *, factor: int = 3, fine: tuple[int, ...] | None = None, **facts: object
) -> Signature:
    """Of coarse images of this shape; `fine` is the shape of their targets, and `facts` change their columns."""
    shape = fine or (channels + 1, height * factor, width * factor)
    same = {"layout": "tensor", "axes": "CHW", "meaning": "image", "affine": UNIT, **facts}
    columns = [
        Column(name="image", dtype="uint8", shape=shape, role="target", **same),
        Column(name="coarse", dtype="float32", shape=(channels, height, width), role="input", **same),
    ]
    return Signature.of(columns, ["image"])
