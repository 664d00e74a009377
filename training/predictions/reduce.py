"""The code of each row, and the error of its reconstruction. Axes: B rows, D features, Z code dimensions."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from millstream.training.estimator import flat
from millstream.training.predictions._predictor import Base, Columns
from millstream.training.tensors import as_numpy


class Predictor(Base):
    outputs: ClassVar = {"code": "Array(double)", "reconstruction_error": "double"}

    def predict(self, network: Any, *inputs: Any) -> Columns:
        codes_BZ = network.encode(*inputs)
        again_BD = flat((as_numpy(network.decode(codes_BZ)),))
        error_B = np.square(again_BD - flat([as_numpy(one) for one in inputs])).mean(axis=1)
        return {
            "code": list(as_numpy(codes_BZ).astype(np.float64)),
            "reconstruction_error": error_B.astype(np.float64),
        }
