"""Bicubic enlargement of pictures, and how many times they are to be enlarged.

Axes: B rows, C channels, h and w height and width of the coarse picture, H and W those of the fine one.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tracking.bicubic import resampling
from tracking.faults import BadData
from tracking.manifest import Signature


def enlarged(coarse_BChw: Tensor, factor: int) -> Tensor:
    """The pictures (B, C, factor h, factor w), neither rounded nor clipped."""
    # not functional.interpolate: its bicubic has another kernel (a = -3/4), or another border when asked to antialias
    rows_Hh, columns_Ww = (
        torch.tensor(resampling(side, side * factor), dtype=coarse_BChw.dtype, device=coarse_BChw.device)
        for side in coarse_BChw.shape[2:]
    )
    return rows_Hh @ coarse_BChw @ columns_Ww.T


def enlargement(signature: Signature, network: str) -> tuple[int, int]:
    """The channels of the coarse pictures, and how many times higher and wider the fine ones are.

    Raises BadData when the target is no picture whose sides are the same whole multiple of the input's.
    """
    channels, *coarse = signature.single("image").shape
    target = signature.target
    fine = target.shape[1:] if target is not None and target.meaning == "image" else ()
    factors = {large // small for large, small in zip(fine, coarse, strict=False) if large % small == 0}
    if len(factors) != 1 or fine != tuple(side * max(factors) for side in coarse):
        found = f"a target of {fine}" if fine else "no target that is a picture"
        told = f"{found} for pictures of {tuple(coarse)}; the step coarsen makes sides that fit"
        raise BadData.at(f"network {network}", told)
    return channels, factors.pop()
