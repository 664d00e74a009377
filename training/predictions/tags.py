"""The tags of each row, those with a probability over one half. Axes: B rows, K tags."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from millstream.training.predictions._predictor import Base, Columns
from millstream.training.tensors import as_numpy


class Predictor(Base):
    outputs: ClassVar = {"prediction": "Array(string)", "probabilities": "Array(double)"}
    tags: tuple[str, ...]

    def predict(self, network: Any, *inputs: Any) -> Columns:
        probability_BK = torch.sigmoid(network(*inputs).double())
        predicted = [
            [tag for tag, is_predicted in zip(self.tags, row, strict=True) if is_predicted]
            for row in probability_BK > 0.5
        ]
        return {"prediction": predicted, "probabilities": list(as_numpy(probability_BK))}
