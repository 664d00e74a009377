"""log p(x) of each row, in nats."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from millstream.training.predictions._predictor import Base, Columns
from millstream.training.tensors import as_numpy


class Predictor(Base):
    outputs: ClassVar = {"log_density": "double"}

    def predict(self, network: Any, *inputs: Any) -> Columns:
        return {"log_density": as_numpy(network(*inputs)).astype(np.float64)}
