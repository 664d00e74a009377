"""Clusters of any form where rows lie close together, by scikit-learn's DBSCAN; what lies apart is in none.

Source: Ester et al. 1996, A density-based algorithm for discovering clusters, KDD-96.
Differs from it: a row that was not there when the clusters were found goes to that of its nearest core row, if this
lies within the radius, and to none otherwise. A row of train at the border of two clusters is told in the same way,
where the algorithm would give it to the one that it finds first.
Axes: B rows, D numbers of a row, M core rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, Field
from sklearn.cluster import DBSCAN
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from millstream.tracking.dataset.signature import Signature
from millstream.tracking.errors import BadData
from millstream.training.estimator import width
from millstream.training.networks.classical._array_state import Arrays, Learned, rows

NONE = -1


class Config(BaseModel, frozen=True, extra="forbid"):
    radius: float = Field(gt=0, description="how near a neighbour is, in units of the prepared inputs")
    neighbours: int = Field(5, ge=1, description="rows within the radius, itself among them, that make a core row")


def build(config: Config, signature: Signature) -> Dbscan:
    return Dbscan(config, width(signature))


class Dbscan(Arrays):
    axes = {"core": "MD", "cluster": "M"}  # noqa: RUF012

    def __init__(self, config: Config, width: int) -> None:
        super().__init__(width)
        self.config = config
        self.nearest: Any = None

    def find(self, x_BD: NDArray[np.float64]) -> Learned:
        """Raises BadData where no row has enough neighbours."""
        found = DBSCAN(eps=self.config.radius, min_samples=self.config.neighbours).fit(x_BD)
        core = found.core_sample_indices_
        if not len(core):
            told = f"none of {len(x_BD)} rows has {self.config.neighbours} within {self.config.radius:g}"
            raise BadData.at(self.where, f"{told}, so that there is no cluster; enlarge radius, or lower neighbours")
        return {"core": x_BD[core], "cluster": found.labels_[core].astype(np.int64)}

    def use(self) -> None:
        self.nearest = NearestNeighbors(n_neighbors=1).fit(self.fitted["core"])

    def clusters(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """The cluster of the nearest core row, (B,), -1 where it lies beyond the radius; the distance to it, (B,)."""
        distance_B1, nearest_B1 = self.nearest.kneighbors(rows(inputs))
        is_near_B = distance_B1[:, 0] <= self.config.radius
        cluster_B = np.where(is_near_B, self.fitted["cluster"][nearest_B1[:, 0]], NONE)
        return torch.from_numpy(cluster_B), torch.from_numpy(distance_B1[:, 0]).float()
