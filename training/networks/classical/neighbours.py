"""K nearest neighbours, classifier and regressor, by scikit-learn.

Source: Cover & Hart 1967, doi:10.1109/TIT.1967.1053964.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from millstream.tracking.dataset.signature import Signature
from millstream.tracking.errors import BadData
from millstream.training.networks.classical._scikit_learn import Scikit


class Config(BaseModel, frozen=True, extra="forbid"):
    neighbours: int = Field(5, ge=1, description="number of neighbours, k")
    weights: Literal["equal", "distance"] = Field("equal", description="weight of a neighbour: equal, or 1/distance")


def build(config: Config, signature: Signature) -> Scikit:
    weights = {"equal": "uniform", "distance": "distance"}[config.weights]
    # brute force: it stores the rows alone, in a format without code, and is the fastest with many columns
    shape: dict[str, Any] = {"n_neighbors": config.neighbours, "weights": weights, "algorithm": "brute", "n_jobs": -1}
    classes = len(signature.classes)
    return Neighbours(KNeighborsClassifier(**shape) if classes else KNeighborsRegressor(**shape), classes)


class Neighbours(Scikit):
    def learn(self, x_BD: NDArray[Any], y_B: NDArray[Any], weight_B: NDArray[np.float32]) -> None:
        """Raises BadData for row weights, which are not supported, and for fewer rows than neighbours."""
        where, wanted = "network classical/neighbours", self.blank.n_neighbors
        if not np.all(weight_B == 1):
            raise BadData.at(where, "takes no weights of rows; balance with another method")
        if len(x_BD) < wanted:
            raise BadData.at(where, f"{len(x_BD)} rows to learn from; it needs {wanted} neighbours")
        super().learn(x_BD, y_B, weight_B)
