"""The next steps of a series, as one list a row: step by step, the channels of a step together.

Axes: B windows, H steps, C channels.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from millstream.training.predictions._predictor import Base, Columns
from millstream.training.tensors import as_numpy


class Predictor(Base):
    outputs: ClassVar = {"forecast": "Array(double)"}
    steps: int
    """H"""
    channels: int
    """C"""

    def predict(self, network: Any, *inputs: Any) -> Columns:
        forecast = as_numpy(network(*inputs)).astype(np.float64)
        return {"forecast": list(forecast.reshape(len(forecast), self.steps * self.channels))}
