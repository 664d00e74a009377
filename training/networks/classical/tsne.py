"""2-D t-SNE embedding, by scikit-learn, with out-of-sample encoding and decoding.

Source: van der Maaten & Hinton 2008, Visualizing data using t-SNE, JMLR 9.
Differs from it: a new row is embedded, too, at the mean of the embedded training rows, weighted by the probability
p(j|i) (equation 1) that it would pick each as its neighbour; a training row keeps its coordinates. openTSNE (Policar et
al. 2019, doi:10.1101/731877) initializes a new row in this way and then optimizes it. Decoding is the same from the
embedding to the rows. Axes: B new rows, N training rows, D features, K nearest training rows, P = 2 coordinates.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, Field
from scipy.sparse import csr_array
from scipy.stats import entropy
from sklearn.manifold import TSNE
from sklearn.neighbors import NearestNeighbors

from millstream.tracking.dataset.signature import Signature
from millstream.tracking.errors import BadData
from millstream.training.estimator import width
from millstream.training.networks.classical._array_state import Arrays, Learned, rows

HALVINGS = 60
"""Bisection steps for a row's precision, which then has full double precision."""


class Config(BaseModel, frozen=True, extra="forbid"):
    perplexity: float = Field(30, gt=1, description="effective number of neighbours of a row")
    steps: int = Field(1000, ge=250, description="gradient descent steps")
    seed: int = Field(0, ge=0, description="seed of the PCA from which the embedding is initialized")


TINY = Config(perplexity=2, steps=250)


def build(config: Config, signature: Signature) -> Tsne:
    return Tsne(config, width(signature))


class Tsne(Arrays):
    axes = {"rows": "ND", "places": "NP"}  # noqa: RUF012

    def __init__(self, config: Config, width: int) -> None:
        super().__init__(width)
        self.config = config
        self.nearest: dict[str, Any] = {}

    def find(self, x_ND: NDArray[np.float64]) -> Learned:
        """Raises BadData for fewer rows than the perplexity needs, and for fewer than two features."""
        count, numbers = x_ND.shape
        if count <= 3 * self.config.perplexity:
            message = (
                f"{count} rows to learn from; with perplexity {self.config.perplexity:g} it needs three times as many"
            )
            raise BadData.at(self.where, f"{message}, and one more; lower it")
        if numbers < 2:
            raise BadData.at(self.where, "rows of one number; they lie on a line already, which a map is not to bend")
        learner = TSNE(
            perplexity=self.config.perplexity, max_iter=self.config.steps, init="pca", random_state=self.config.seed
        )
        return {"rows": x_ND, "places": learner.fit_transform(x_ND).astype(np.float64)}

    def use(self) -> None:
        count = min(len(self.fitted["rows"]), int(3 * self.config.perplexity) + 1)
        self.nearest = {name: NearestNeighbors(n_neighbors=count).fit(array) for name, array in self.fitted.items()}

    def encode(self, *inputs: ArrayLike) -> NDArray[np.float32]:
        """Coordinates of rows in the embedding, (B, 2)."""
        return self._between("rows", rows(inputs), "places").astype(np.float32)

    def decode(self, places_B2: ArrayLike) -> NDArray[np.float32]:
        """Rows reconstructed from coordinates in the embedding, (B, D)."""
        return self._between("places", np.asarray(places_B2, np.float64), "rows").astype(np.float32)

    def _between(self, given: str, x_BD: NDArray[np.float64], wanted: str) -> NDArray[np.float64]:
        """Mean of the array `wanted`, weighted by the neighbours of `x` in the array `given`."""
        distance_BK, at_BK = self.nearest[given].kneighbors(x_BD)
        probability_BK = probabilities(distance_BK**2, self.config.perplexity)
        starts = np.arange(0, probability_BK.size + 1, probability_BK.shape[1])
        probability_BN = csr_array(
            (probability_BK.ravel(), at_BK.ravel(), starts), (len(x_BD), len(self.fitted[wanted]))
        )
        found: NDArray[np.float64] = probability_BN @ self.fitted[wanted]
        return found


def probabilities(squared_BK: NDArray[np.float64], perplexity: float) -> NDArray[np.float64]:
    """p(j|i) = exp(-b_i d_ij^2) / sum_k exp(-b_i d_ik^2), (B, K), with b_i such that each row has the perplexity.

    The source's equation 1, over the nearest rows alone (van der Maaten 2014, JMLR 15, section 4.1). `squared_BK`
    increases along K, which exceeds the perplexity. A row at distance 0 takes all the probability.
    """
    # relative to the nearest: the probabilities are unchanged, and none underflows
    beyond_BK = squared_BK - squared_BK[:, :1]
    scale_B1 = np.maximum(beyond_BK.mean(axis=1, keepdims=True), np.finfo(float).tiny)
    low_B1, high_B1 = np.full_like(scale_B1, -30.0), np.full_like(scale_B1, 30.0)
    for _ in range(HALVINGS):
        middle_B1 = (low_B1 + high_B1) / 2
        is_wide_B1 = _perplexity(beyond_BK / scale_B1 * np.exp(middle_B1)) > perplexity
        low_B1, high_B1 = np.where(is_wide_B1, middle_B1, low_B1), np.where(is_wide_B1, high_B1, middle_B1)
    found_BK = _shares(np.exp(-beyond_BK / scale_B1 * np.exp(high_B1)))
    is_met_BK = squared_BK == 0
    found_BK[is_met_BK.any(axis=1)] = 0
    return _shares(np.where(is_met_BK, 1.0, found_BK))


def _shares(weight_BK: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = weight_BK / weight_BK.sum(axis=1, keepdims=True)
    return found


def _perplexity(exponent_BK: NDArray[np.float64]) -> NDArray[np.float64]:
    """exp of the entropy of the probabilities proportional to exp(-exponent), (B, 1)."""
    probability_BK = _shares(np.exp(-exponent_BK))
    found: NDArray[np.float64] = np.exp(entropy(probability_BK, axis=1, keepdims=True))
    return found
