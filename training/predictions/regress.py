"""The predicted number, in the raw units of the target."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from millstream.tracking.dataset.records import Affine
from millstream.training.predictions._predictor import Base, Columns
from millstream.training.tensors import as_numpy


class Predictor(Base):
    outputs: ClassVar = {"prediction": "double"}
    affine: Affine

    def raw(self, scaled: Any) -> Any:
        """Values in the raw units of the target."""
        return scaled / self.affine.factor + self.affine.offset

    def predict(self, network: Any, *inputs: Any) -> Columns:
        return {"prediction": self.raw(as_numpy(network(*inputs)).astype(np.float64))[:, 0]}
