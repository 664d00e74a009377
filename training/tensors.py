"""Tensors as arrays on the host."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


def as_numpy(tensor: Tensor) -> NDArray[Any]:
    """The tensor's values on the host."""
    return np.asarray(tensor.detach().cpu())
