"""What a network needs to know that halves an image some times and tells a map as large as the image."""

from __future__ import annotations

from millstream.tracking.dataset.signature import Signature
from millstream.tracking.errors import BadData


def channels_and_maps(signature: Signature, poolings: int, network: str) -> tuple[int, int]:
    """Channels of the image, and maps that are asked for: those of the target, or one a class.

    Raises BadData for images whose sides the poolings do not divide.
    """
    shape, unit = signature.single("image").shape, 1 << poolings
    if any(side % unit for side in shape[1:]):
        told = f"images of {shape[1:]}; {poolings} poolings need sides that {unit} divides, `resize` them"
        raise BadData.at(f"network {network}", told)
    target = signature.target
    return shape[0], target.shape[0] if target is not None and target.shape else signature.outputs
