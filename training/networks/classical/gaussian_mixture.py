"""Gaussian mixture, by scikit-learn's expectation maximization: a density model and a soft clustering.

Source: Dempster et al. 1977, doi:10.1111/j.2517-6161.1977.tb01600.x; Bishop 2006, section 9.2.
Axes: B rows, D features, K components.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, Field
from sklearn.mixture import GaussianMixture as Mixture

from millstream.tracking.dataset.signature import Signature
from millstream.tracking.errors import BadData
from millstream.training.estimator import width
from millstream.training.networks.classical._array_state import Arrays, Learned, rows
from millstream.training.networks.classical.kmeans import centres

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COVARIANCES = {
    "full": ("full", "KDD"),
    "tied": ("tied", "DD"),
    "diagonal": ("diag", "KD"),
    "spherical": ("spherical", "K"),
}
"""scikit-learn's name of each covariance type, and the axes of its precisions."""


class Config(BaseModel, frozen=True, extra="forbid"):
    parts: int = Field(8, ge=1, description="mixture components, K")
    covariance: Literal["full", "tied", "diagonal", "spherical"] = Field(
        "full", description="one per component; one shared; diagonal per component; one variance per component"
    )
    floor: float = Field(1e-6, ge=0, description="added to each variance, so that no component collapses to a point")
    start: Literal["kmeans", "k-means++", "random"] = Field("kmeans", description="initialization of the components")
    restarts: int = Field(1, ge=1, description="initializations; the one with the highest likelihood is kept")
    iterations: int = Field(200, ge=1, description="maximum iterations per initialization")
    seed: int = Field(0, ge=0, description="seed of the initializations")


TINY = Config(parts=2)


def build(config: Config, signature: Signature) -> GaussianMixture:
    return GaussianMixture(config, width(signature))


class GaussianMixture(Arrays):
    """log p(x) of a row in nats; its cluster is the most probable component."""

    def __init__(self, config: Config, width: int) -> None:
        super().__init__(width)
        self.config = config
        self.axes = {"shares": "K", "means": "KD", "precisions": COVARIANCES[config.covariance][1]}
        self.mixture = self._blank()

    def find(self, x_BD: NDArray[np.float64]) -> Learned:
        """Raises BadData for more components than rows, and for a component with a singular covariance."""
        if len(x_BD) < max(2, self.config.parts):
            raise BadData.at(self.where, f"{len(x_BD)} rows to learn from; it makes {self.config.parts} parts")
        try:
            found = self._blank().fit(x_BD)
        except ValueError as error:
            message = f"a part has no width in some direction ({str(error).partition('.')[0]})"
            raise BadData.at(self.where, f"{message}; raise floor, or take fewer parts") from None
        return {"shares": found.weights_, "means": found.means_, "precisions": found.precisions_cholesky_}

    def use(self) -> None:
        self.mixture = self._blank()
        self.mixture.weights_ = self.fitted["shares"]
        self.mixture.means_ = self.fitted["means"]
        self.mixture.precisions_cholesky_ = self.fitted["precisions"]

    def scores(self, x_BD: NDArray[Any]) -> NDArray[Any]:
        """log p(x) in nats, (B,)."""
        return np.asarray(self.mixture.score_samples(x_BD.astype(np.float64)))

    def clusters(self, *inputs: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Most probable component, (B,), and -log p(x), (B,), as the distance."""
        x_BD = rows(inputs)
        return self.mixture.predict(x_BD), -self.mixture.score_samples(x_BD).astype(np.float32)

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
