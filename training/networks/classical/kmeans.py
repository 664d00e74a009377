"""K-means clustering, by scikit-learn: each row belongs to the nearest centroid.

Source: Lloyd 1982, doi:10.1109/TIT.1982.1056489; initialization: Arthur & Vassilvitskii 2007, k-means++.
Axes: B rows, D features, K clusters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, Field
from sklearn import cluster
from threadpoolctl import threadpool_limits

from millstream.tracking.dataset.signature import Signature
from millstream.tracking.errors import BadData
from millstream.training.estimator import as_images, width
from millstream.training.networks.classical._array_state import Arrays, Learned, rows, squared_distances

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Config(BaseModel, frozen=True, extra="forbid"):
    clusters: int = Field(8, ge=1, description="number of clusters, K")
    start: Literal["k-means++", "random"] = Field(
        "k-means++", description="initial centroids: rows far from each other, or random rows"
    )
    restarts: int = Field(
        10, ge=1, description="initializations; the one with the lowest sum of squared distances is kept"
    )
    iterations: int = Field(300, ge=1, description="maximum iterations per initialization")
    seed: int = Field(0, ge=0, description="seed of the initial centroids")


TINY = Config(clusters=3, restarts=2)


def build(config: Config, signature: Signature) -> KMeans:
    return KMeans(config, width(signature))


class KMeans(Arrays):
    axes = {"centres": "KD"}  # noqa: RUF012

    def __init__(self, config: Config, width: int) -> None:
        super().__init__(width)
        self.config = config

    def find(self, x_BD: NDArray[np.float64]) -> Learned:
        """Raises BadData for more clusters than distinct rows."""
        wanted = self.config.clusters
        if len(x_BD) < wanted:
            raise BadData.at(self.where, f"{len(x_BD)} rows to learn from; it makes {wanted} clusters")
        blank = cluster.KMeans(
            wanted,
            init=self.config.start,
            n_init=self.config.restarts,
            max_iter=self.config.iterations,
            random_state=self.config.seed,
        )
        # the order in which threads add their partial sums would change the last bits
        with threadpool_limits(1, user_api="openmp"):
            found = blank.fit(x_BD)
        made = len(np.unique(found.labels_))
        if made < wanted:
            raise BadData.at(self.where, f"{made} different rows to learn from; it makes {wanted} clusters")
        return {"centres": found.cluster_centers_}

    def clusters(self, *inputs: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Index of the nearest centroid, (B,), and the squared distance to it, (B,)."""
        squared_BK = squared_distances(rows(inputs), self.fitted["centres"])
        return squared_BK.argmin(axis=1), squared_BK.min(axis=1).astype(np.float32)

    def figures(self, signature: Signature) -> dict[str, Figure]:
        return centres(self.fitted["centres"], signature)


def centres(centres_KD: NDArray[Any], signature: Signature) -> dict[str, Figure]:
    """Figure of the centroids as images; empty unless the input is an image."""
    # here, since a registered model predicts without matplotlib
    from millstream.tracking.figures.samples import samples

    images = as_images(centres_KD, signature)
    return {} if images is None else {"centres": samples(images, title="centres of the clusters")}
