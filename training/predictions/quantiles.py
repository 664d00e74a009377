"""Sorted quantiles of each row in the raw units of the target; the middle one is the prediction.

Axes: B rows, Q quantiles.
"""

from __future__ import annotations

from typing import Any, ClassVar

from millstream.training.predictions import regress
from millstream.training.predictions._predictor import Columns
from millstream.training.tensors import as_numpy


class Predictor(regress.Predictor):
    outputs: ClassVar = {"prediction": "double", "quantiles": "Array(double)"}

    def predict(self, network: Any, *inputs: Any) -> Columns:
        predicted_BQ = self.raw(network(*inputs).double()).sort(dim=1).values
        return {"prediction": as_numpy(middle(predicted_BQ)), "quantiles": list(as_numpy(predicted_BQ))}


def middle(predicted_BQ: Any) -> Any:
    """The middle quantile of each row, (B,)."""
    return predicted_BQ[:, predicted_BQ.shape[1] // 2]
