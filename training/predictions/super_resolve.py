"""High-resolution images, from 0 to 255."""

from __future__ import annotations

from typing import Any, ClassVar

from millstream.training.predictions._predictor import Base, Columns
from millstream.training.tensors import as_numpy

PEAK = 255.0


class Predictor(Base):
    outputs: ClassVar = {"fine": "Array(double)"}

    def predict(self, network: Any, *inputs: Any) -> Columns:
        """An input smaller than its frame is padded by reflection."""
        # one at a time: the feature maps of a high-resolution image take hundreds of times its own memory
        fine = [network(coarse_Chw[None]).double().clamp(0, 1).flatten() for coarse_Chw in inputs[0]]
        return {"fine": [as_numpy(one * PEAK) for one in fine]}
