"""Class probabilities of ordered classes, by thresholds on one score. Axes: B rows, K classes."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from millstream.training.predictions._predictor import Base, Columns
from millstream.training.tensors import as_numpy


class Predictor(Base):
    outputs: ClassVar = {"prediction": "string", "probability": "double", "probabilities": "Array(double)"}
    classes: tuple[str, ...]

    def module(self, network: Any) -> Any:
        return Thresholds(network, len(self.classes))

    def predict(self, network: Any, *inputs: Any) -> Columns:
        probability_BK = network(*inputs).double().exp()
        best_B = probability_BK.argmax(dim=1)
        return {
            "prediction": [self.classes[at] for at in best_B.tolist()],
            "probability": as_numpy(probability_BK.gather(1, best_B[:, None])[:, 0]),
            "probabilities": list(as_numpy(probability_BK)),
        }


class Thresholds(nn.Module):
    """log P(class), (B, K), from a network with one score per row: P(class <= k) = sigmoid(threshold k - score)."""

    def __init__(self, network: nn.Module, classes: int) -> None:
        super().__init__()
        self.network = network
        self.lowest = nn.Parameter(torch.tensor(1.0 - classes / 2))
        # softplus(.5413) = 1: thresholds start one apart, centred at 0
        self.gaps = nn.Parameter(torch.full((classes - 2,), 0.5413))

    @property
    def rising(self) -> Tensor:
        """The K - 1 thresholds in increasing order."""
        return torch.cat([self.lowest[None], self.lowest + functional.softplus(self.gaps).cumsum(0)])

    def forward(self, *inputs: Tensor) -> Tensor:
        return log_probabilities(self.network(*inputs), self.rising)


def log_probabilities(score_B1: Tensor, rising: Tensor) -> Tensor:
    """log(sigmoid(t_k - s) - sigmoid(t_(k-1) - s)), (B, K), with t_0 = -inf and t_K = inf, without cancellation.

    sigmoid(b) - sigmoid(a) = sigmoid(b) sigmoid(-a) (1 - exp(a - b)).
    """
    over_B = rising - score_B1
    under, above = functional.logsigmoid(over_B), functional.logsigmoid(-over_B)
    between = under[:, 1:] + above[:, :-1] + torch.log(-torch.expm1(rising[:-1] - rising[1:]))
    return torch.cat([under[:, :1], between, above[:, -1:]], dim=1)
