"""Density-based clusters of any shape, by scikit-learn's DBSCAN; outliers belong to no cluster.

Source: Ester et al. 1996, A density-based algorithm for discovering clusters, KDD-96.
Differs from it: a new row is assigned to the cluster of its nearest core row if that is within the radius, and to none
otherwise. A training row at the border of two clusters is assigned in the same way, where the algorithm would assign
it to the cluster found first.
Axes: B rows, D features, M core rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, Field
from sklearn.cluster import DBSCAN
from sklearn.neighbors import NearestNeighbors

from millstream.tracking.dataset.signature import Signature
from millstream.tracking.errors import BadData
from millstream.training.estimator import width
from millstream.training.networks.classical._array_state import Arrays, Learned, rows

NONE = -1


class Config(BaseModel, frozen=True, extra="forbid"):
    radius: float = Field(gt=0, description="neighbourhood radius (eps), in units of the prepared inputs")
    neighbours: int = Field(5, ge=1, description="rows within the radius, itself included, that make a core row")


TINY = Config(radius=0.5, neighbours=2)


def build(config: Config, signature: Signature) -> Dbscan:
    return Dbscan(config, width(signature))


class Dbscan(Arrays):
    axes = {"core": "MD", "cluster": "M"}  # noqa: RUF012

    def __init__(self, config: Config, width: int) -> None:
        super().__init__(width)
        self.config = config
        self.nearest: Any = None

    def find(self, x_BD: NDArray[np.float64]) -> Learned:
        """Raises BadData when no row has enough neighbours."""
        found = DBSCAN(eps=self.config.radius, min_samples=self.config.neighbours).fit(x_BD)
        core = found.core_sample_indices_
        if not len(core):
            message = f"none of {len(x_BD)} rows has {self.config.neighbours} within {self.config.radius:g}"
            raise BadData.at(self.where, f"{message}, so that there is no cluster; enlarge radius, or lower neighbours")
        return {"core": x_BD[core], "cluster": found.labels_[core].astype(np.int64)}

    def use(self) -> None:
        self.nearest = NearestNeighbors(n_neighbors=1).fit(self.fitted["core"])

    def clusters(self, *inputs: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Cluster of the nearest core row, (B,), -1 beyond the radius; distance to that row, (B,)."""
        distance_B1, nearest_B1 = self.nearest.kneighbors(rows(inputs))
        is_near_B = distance_B1[:, 0] <= self.config.radius
        cluster_B = np.where(is_near_B, self.fitted["cluster"][nearest_B1[:, 0]], NONE)
        return cluster_B, distance_B1[:, 0].astype(np.float32)
