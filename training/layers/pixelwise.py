"""Input and output channels of a network with pooling that predicts maps as large as the image."""

from __future__ import annotations

from millstream.tracking.dataset.signature import Signature
from millstream.tracking.errors import BadData


def channels_and_maps(signature: Signature, poolings: int, network: str) -> tuple[int, int]:
    """Channels of the image, and output channels: those of the target, or one per class.

    Raises BadData for images whose sides are not divisible by 2 to the power of `poolings`.
    """
    shape, unit = signature.single("image").shape, 1 << poolings
    if any(side % unit for side in shape[1:]):
        message = f"images of {shape[1:]}; {poolings} poolings need sides that {unit} divides, `resize` them"
        raise BadData.at(f"network {network}", message)
    target = signature.target
    return shape[0], target.shape[0] if target is not None and target.shape else signature.outputs
