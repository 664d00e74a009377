"""The greedy action, and its value. Axes: B rows, A actions."""

from __future__ import annotations

from typing import Any, ClassVar

from millstream.training.predictions._predictor import Base, Columns
from millstream.training.tensors import as_numpy


class Predictor(Base):
    outputs: ClassVar = {"action": "string", "value": "double"}
    actions: tuple[str, ...]

    def predict(self, network: Any, *inputs: Any) -> Columns:
        values_BA = network(*inputs)
        best_B = values_BA.argmax(dim=1)
        return {
            "action": [self.actions[at] for at in best_B.tolist()],
            "value": as_numpy(values_BA.gather(1, best_B[:, None])[:, 0].double()),
        }
