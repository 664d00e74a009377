"""Mixture of Gaussians, by scikit-learn's expectation maximization: a density, and clusters that overlap.

Source: Dempster et al. 1977, doi:10.1111/j.2517-6161.1977.tb01600.x; Bishop 2006, section 9.2.
Axes: B rows, D numbers of a row, K parts.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from pydantic import BaseModel, Field
from sklearn.mixture import GaussianMixture as Mixture
from torch import Tensor

from millstream.tracking.dataset.signature import Signature
from millstream.tracking.errors import BadData
from millstream.training.estimator import width
from millstream.training.networks.classical._array_state import Arrays, Learned, rows
from millstream.training.networks.classical.kmeans import centres

COVARIANCES = {
    "full": ("full", "KDD"),
    "tied": ("tied", "DD"),
    "diagonal": ("diag", "KD"),
    "spherical": ("spherical", "K"),
}
"""What scikit-learn calls each, and the axes of its precisions."""


class Config(BaseModel, frozen=True, extra="forbid"):
    parts: int = Field(8, ge=1, description="Gaussians, K")
    covariance: Literal["full", "tied", "diagonal", "spherical"] = Field(
        "full", description="of each part its own; one for all; without correlations; one variance a part"
    )
    floor: float = Field(1e-6, ge=0, description="added to each variance, so that no part shrinks to a point")
    start: Literal["kmeans", "k-means++", "random"] = Field("kmeans", description="what first tells rows to parts")
    restarts: int = Field(1, ge=1, description="starts, of which the likeliest is kept")
    iterations: int = Field(200, ge=1, description="most iterations of a start")
    seed: int = Field(0, ge=0, description="rows that are drawn at a start")


def build(config: Config, signature: Signature) -> GaussianMixture:
    return GaussianMixture(config, width(signature))


class GaussianMixture(Arrays):
    """log p(x) of a row in nats; as a cluster the part that it most likely came from."""

    def __init__(self, config: Config, width: int) -> None:
        super().__init__(width)
        self.config = config
        self.axes = {"shares": "K", "means": "KD", "precisions": COVARIANCES[config.covariance][1]}
        self.mixture = self._blank()

    def find(self, x_BD: NDArray[np.float64]) -> Learned:
        """Raises BadData for more parts than rows, and for a part that has shrunk to a point or a line."""
        if len(x_BD) < max(2, self.config.parts):
            raise BadData.at(self.where, f"{len(x_BD)} rows to learn from; it makes {self.config.parts} parts")
        try:
            found = self._blank().fit(x_BD)
        except ValueError as error:
            told = f"a part has no width in some direction ({str(error).partition('.')[0]})"
            raise BadData.at(self.where, f"{told}; raise floor, or take fewer parts") from None
        return {"shares": found.weights_, "means": found.means_, "precisions": found.precisions_cholesky_}

    def use(self) -> None:
        self.mixture = self._blank()
        self.mixture.weights_ = self.fitted["shares"]
        self.mixture.means_ = self.fitted["means"]
        self.mixture.precisions_cholesky_ = self.fitted["precisions"]

    def scores(self, x_BD: NDArray[Any]) -> NDArray[Any]:
        """log p(x) in nats, (B,)."""
        return np.asarray(self.mixture.score_samples(x_BD.astype(np.float64)))

    def clusters(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """The likeliest part of a row, (B,), and -log p(x), (B,): how far it is from all of them."""
        x_BD = rows(inputs)
        return torch.from_numpy(self.mixture.predict(x_BD)), torch.from_numpy(-self.mixture.score_samples(x_BD)).float()

    def figures(self, signature: Signature) -> dict[str, Figure]:
        return centres(self.fitted["means"], signature)

    def _blank(self) -> Mixture:
        return Mixture(
            self.config.parts,
            covariance_type=COVARIANCES[self.config.covariance][0],
            reg_covar=self.config.floor,
            init_params=self.config.start,
            n_init=self.config.restarts,
            max_iter=self.config.iterations,
            random_state=self.config.seed,
        )
