"""Mixup (Zhang et al. 2018, arXiv 1710.09412): interpolates two samples. Axis: B pairs of samples."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from millstream.tracking.augmentations.op import as_dtype
from millstream.tracking.dataset.records import Column


def is_mixable(column: Column) -> bool:
    """Whether values of a column can be interpolated; classes, texts, lists and timestamps cannot."""
    is_text = column.dtype == "string" or column.dtype.startswith("datetime64")
    return column.layout != "list" and column.meaning != "category" and not is_text


def between(own: NDArray[Any], other: NDArray[Any], share_B: NDArray[np.float64]) -> NDArray[Any]:
    """share * own + (1 - share) * other, (B, ...), in the dtype of `own`; integers are rounded."""
    share = share_B.reshape(-1, *(1,) * (own.ndim - 1))
    return as_dtype(share * own + (1 - share) * other, own.dtype)
