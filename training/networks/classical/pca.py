"""Principal component analysis, by scikit-learn: projection on the directions of largest variance.

Source: Pearson 1901, doi:10.1080/14786440109462720; Hotelling 1933, doi:10.1037/h0071325.
Axes: B rows, D features, Z components kept, R components in all: min(training rows, D).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, Field
from sklearn import decomposition

from millstream.tracking.dataset.signature import Signature
from millstream.tracking.errors import BadData
from millstream.training.estimator import as_images, width
from millstream.training.networks.classical._array_state import Arrays, Learned, rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 20


class Config(BaseModel, frozen=True, extra="forbid"):
    parts: int = Field(2, ge=1, description="components kept, Z")


TINY = Config(parts=1)


def build(config: Config, signature: Signature) -> Pca:
    return Pca(config, width(signature))


class Pca(Arrays):
    axes = {"mean": "D", "parts": "ZD", "variances": "R"}  # noqa: RUF012

    def __init__(self, config: Config, width: int) -> None:
        super().__init__(width)
        self.config = config

    def find(self, x_BD: NDArray[np.float64]) -> Learned:
        """Raises BadData for more components than rows or features, and for rows that are all equal."""
        most = min(x_BD.shape)
        if self.config.parts > most:
            message = f"{len(x_BD)} rows of {x_BD.shape[1]} numbers have {most} parts"
            raise BadData.at(self.where, f"{message}; {self.config.parts} are configured")
        if np.all(x_BD == x_BD[0]):
            raise BadData.at(
                self.where, f"all {len(x_BD)} rows are the same; there is no direction in which they differ"
            )
        found = decomposition.PCA(svd_solver="full").fit(x_BD)
        # a copy: a view would keep all other components in memory
        parts_ZD = found.components_[: self.config.parts].copy()
        return {"mean": found.mean_, "parts": parts_ZD, "variances": found.explained_variance_}

    def encode(self, *inputs: ArrayLike) -> NDArray[np.float32]:
        """Coordinates of the centred rows along the components, (B, Z)."""
        found: NDArray[Any] = (rows(inputs) - self.fitted["mean"]) @ self.fitted["parts"].T
        return found.astype(np.float32)

    def decode(self, codes_BZ: ArrayLike) -> NDArray[np.float32]:
        """Rows reconstructed from their codes, (B, D)."""
        found: NDArray[Any] = np.asarray(codes_BZ, np.float64) @ self.fitted["parts"] + self.fitted["mean"]
        return found.astype(np.float32)

    def of_train(self) -> dict[str, float]:
        variances_R = self.fitted["variances"]
        return {"variance_kept": float(variances_R[: self.config.parts].sum() / variances_R.sum())}

    def figures(self, signature: Signature) -> dict[str, Figure]:
        # here, since a registered model predicts without matplotlib
        from millstream.tracking.figures.samples import samples
        from millstream.tracking.figures.variance_kept import variance_kept

        parts_ZD, variances_R = self.fitted["parts"][:SHOWN], self.fitted["variances"]
        found = {"variance_kept": variance_kept(variances_R / variances_R.sum(), self.config.parts)}
        # grey is zero; the sign of a component is arbitrary
        images = as_images(0.5 + 0.5 * parts_ZD / np.abs(parts_ZD).max(axis=1, keepdims=True), signature)
        if images is not None:
            found["parts"] = samples(images, title="first parts: lighter is more, darker is less")
        return found
