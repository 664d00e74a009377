"""The cluster of each row, and its distance to it."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from millstream.training.predictions._predictor import Base, Columns
from millstream.training.tensors import as_numpy


class Predictor(Base):
    outputs: ClassVar = {"cluster": "long", "distance": "double"}

    def predict(self, network: Any, *inputs: Any) -> Columns:
        number_B, distance_B = (as_numpy(one) for one in network.clusters(*inputs))
        return {"cluster": number_B, "distance": distance_B.astype(np.float64)}
