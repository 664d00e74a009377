"""Tensors as arrays on the host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor


def as_numpy(values: Tensor | NDArray[Any]) -> NDArray[Any]:
    """The values on the host; an array, which an estimator returns, as it is."""
    return values if isinstance(values, np.ndarray) else np.asarray(values.detach().cpu())
