"""Base of unsupervised estimators whose state is a few named numeric arrays.

They are fitted by scikit-learn and rebuilt from the arrays after loading: a file contains no library object.
Axes: B rows, D features (all inputs concatenated).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import skops.io
from numpy.typing import ArrayLike, NDArray

from millstream.tracking.errors import BadData
from millstream.training.estimator import Estimator
from millstream.training.networks.classical._scikit_learn import canonical

Learned = dict[str, NDArray[Any]]


class Arrays(Estimator):
    """A subclass defines `axes` and `find`, and methods that apply its arrays to new rows."""

    learns_target: ClassVar[bool] = False
    axes: Mapping[str, str] = {}
    """Array names with a letter per axis; equal letters mean equal length, and D is the width of the inputs."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    @property
    def where(self) -> str:
        """Its name in a recipe."""
        return f"network classical/{type(self).__module__.rpartition('.')[2]}"

    def find(self, x_BD: NDArray[np.float64]) -> Learned:
        """The arrays learned from the training rows."""
        raise NotImplementedError(f"{type(self).__name__} does not define find()")

    def use(self) -> None:
        """Prepare inference on new rows, after the arrays were fitted or loaded."""

    def fit(self, inputs: Sequence[ArrayLike], target_B: ArrayLike | None, weight_B: ArrayLike) -> None:
        """Raises BadData for row weights, and for rows that `find` cannot fit."""
        if not np.all(np.asarray(weight_B) == 1):
            raise BadData.at(self.where, "takes no weights of rows; balance with another method, or not at all")
        self.fitted = self.find(rows(inputs))
        self.use()

    def scores(self, x_BD: NDArray[Any]) -> NDArray[Any]:
        raise BadData.at(self.where, "returns no density of a row, which the task needs; take another network or task")

    def dump(self) -> bytes:
        return canonical(skops.io.dumps(self.fitted))

    def restore(self, content: bytes) -> None:
        """Raises BadData for anything but the expected arrays; skops refuses untrusted types."""
        found = skops.io.loads(content, trusted=[])
        wrong = self._wrong(found)
        if wrong:
            raise BadData.at("model", f"{self.where} has {wrong}; the file is damaged or forged")
        self.fitted = found
        self.use()

    def _wrong(self, found: Any) -> str:
        """What is wrong with a state; empty if nothing."""
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


def rows(inputs: Sequence[ArrayLike]) -> NDArray[np.float64]:
    """All inputs concatenated, (B, D), in float64, the precision of the estimators."""
    arrays = [np.asarray(one, np.float64) for one in inputs]
    return np.concatenate([one.reshape(len(one), -1) for one in arrays], axis=1)


def squared_distances(x_BD: NDArray[np.float64], y_KD: NDArray[np.float64]) -> NDArray[np.float64]:
    """|x - y|^2 of each pair, (B, K)."""
    crossed: NDArray[np.float64] = (x_BD**2).sum(axis=1)[:, None] - 2 * x_BD @ y_KD.T + (y_KD**2).sum(axis=1)
    # rounding can make a distance of zero negative
    return np.maximum(crossed, 0)
