"""Estimators that learn of the inputs alone, and whose state is a few named arrays of numbers.

They are fitted by scikit-learn, and told to it again after they were kept: no object of a library is in a file.
Axes: B rows, D numbers of a row (all inputs side by side).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import skops.io
import torch
from numpy.typing import NDArray
from torch import Tensor

from millstream.tracking.errors import BadData
from millstream.training.estimator import Estimator
from millstream.training.networks.classical._scikit_learn import canonical

Learned = dict[str, NDArray[Any]]


class Arrays(Estimator):
    """A subclass gives `axes` and `find`, and says in methods of its own what its arrays tell of new rows."""

    learns_target: ClassVar[bool] = False
    axes: Mapping[str, str] = {}
    """Each array with a letter for each of its axes; equal letters are of equal length, and D is the inputs' width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    @property
    def where(self) -> str:
        """How a recipe names it."""
        return f"network classical/{type(self).__module__.rpartition('.')[2]}"

    def find(self, x_BD: NDArray[np.float64]) -> Learned:
        """What the rows of train have in them."""
        raise NotImplementedError(f"{type(self).__name__} gives no find()")

    def use(self) -> None:
        """Make ready what answers for new rows, after the arrays were found or read."""

    def fit(self, inputs: tuple[Tensor, ...], target_B: Tensor | None, weight_B: Tensor) -> None:
        """Raises BadData for weights, and for rows in which nothing can be found."""
        if not torch.all(weight_B == 1):
            raise BadData.at(self.where, "takes no weights of rows; balance with another method, or not at all")
        self.fitted = self.find(rows(inputs))
        self.use()

    def scores(self, x_BD: NDArray[Any]) -> NDArray[Any]:
        raise BadData.at(self.where, "tells no density of a row; the task asks for one, take another of the two")

    def dump(self) -> bytes:
        return canonical(skops.io.dumps(self.fitted))

    def restore(self, content: bytes) -> None:
        """Raises BadData for anything but the arrays that belong here; skops refuses what is no array."""
        found = skops.io.loads(content, trusted=[])
        wrong = self._wrong(found)
        if wrong:
            raise BadData.at("model", f"{self.where} has {wrong}; the file is damaged or forged")
        self.fitted = found
        self.use()

    def _wrong(self, found: Any) -> str:
        """What does not belong into a state, or nothing."""
        if not isinstance(found, dict) or found.keys() != self.axes.keys():
            return f"no state of {', '.join(self.axes)}"
        lengths = {"D": self.width}
        for name, axes in self.axes.items():
            array = found[name]
            if not isinstance(array, np.ndarray) or array.dtype not in (np.float64, np.int64):
                return f"{name} that are no numbers"
            if array.ndim != len(axes) or any(
                lengths.setdefault(axis, length) != length for axis, length in zip(axes, array.shape, strict=True)
            ):
                return f"{name} of shape {array.shape}; expected {axes} with D = {self.width}"
            if not np.all(np.isfinite(array)):
                return f"{name} that are not finite"
        return ""


def rows(inputs: tuple[Tensor, ...]) -> NDArray[np.float64]:
    """All inputs side by side, in the precision in which estimators reckon."""
    return np.concatenate([np.asarray(one, np.float64).reshape(len(one), -1) for one in inputs], axis=1)


def squared_distances(x_BD: NDArray[np.float64], y_KD: NDArray[np.float64]) -> NDArray[np.float64]:
    """|x - y|^2 of each pair, (B, K)."""
    crossed: NDArray[np.float64] = (x_BD**2).sum(axis=1)[:, None] - 2 * x_BD @ y_KD.T + (y_KD**2).sum(axis=1)
    # what the rounding leaves of nothing may lie under it
    return np.maximum(crossed, 0)
