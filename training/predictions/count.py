"""The expected count of each row."""

from __future__ import annotations

from typing import Any, ClassVar

from millstream.training.predictions._predictor import Base, Columns
from millstream.training.tensors import as_numpy


class Predictor(Base):
    outputs: ClassVar = {"prediction": "double"}

    def predict(self, network: Any, *inputs: Any) -> Columns:
        return {"prediction": as_numpy(network(*inputs)[:, 0].double().exp())}
