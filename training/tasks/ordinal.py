"""Ordinal classification: one score per row, and ordered thresholds between neighbouring classes.

Source: the cumulative link (proportional odds) model, McCullagh 1980, doi:10.1111/j.2517-6161.1980.tb01109.x; one score
for all thresholds as in CORAL (Cao, Mirjalili & Raschka 2020, arXiv 1901.07884).
Differs from CORAL: the loss is the likelihood of the class, and the thresholds are ordered by construction.
Axes: B rows, K classes.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from pydantic import BaseModel, Field
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import MeanAbsoluteError, Metric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassCohenKappa, MulticlassConfusionMatrix

from millstream.tracking.dataset.signature import Signature
from millstream.tracking.errors import WrongRecipe
from millstream.tracking.figures.confusion import confusion
from millstream.training.config.fit import Fit
from millstream.training.feed.batch import Batch
from millstream.training.task import Task
from millstream.training.tensors import as_numpy


class Config(BaseModel, frozen=True, extra="forbid"):
    target: str = Field(description="column with the class label; classes are ordered as encoded")


class Ordinal(Task):
    """Accuracy, mean absolute error in classes (mae), and Cohen's kappa with quadratic weights."""

    outputs: ClassVar = {"prediction": "string", "probability": "double", "probabilities": "Array(double)"}
    directions: ClassVar = {"accuracy": "max", "mae": "min", "kappa": "max"}
    trains_estimators: ClassVar = False

    def __init__(self, config: Config, network: nn.Module, signature: Signature, fit: Fit) -> None:
        self.classes = signature.classes
        if len(self.classes) < 2 or (signature.target is not None and signature.target.shape):
            raise WrongRecipe.at("task ordinal", f"{config.target} is no class by number; encode it by index")
        self.check_network(network)
        super().__init__(config, Thresholds(network, len(self.classes)), signature, fit)
        self.confusion = MulticlassConfusionMatrix(len(self.classes))

    @classmethod
    def network_signature(cls, config: Config, signature: Signature) -> Signature:
        return signature.with_outputs(1)

    def rows(self, batch: Batch) -> tuple[Tensor, Any]:
        log_probability_BK = self.network(*batch.arguments)
        return functional.nll_loss(log_probability_BK, batch.truth, reduction="none"), log_probability_BK

    def metrics(self) -> dict[str, Metric]:
        count = len(self.classes)
        return {
            "accuracy": MulticlassAccuracy(count, average="micro"),
            "mae": MeanAbsoluteError(),
            "kappa": MulticlassCohenKappa(count, weights="quadratic"),
        }

    def measure(self, metrics: MetricCollection, output: Any, batch: Batch) -> None:
        predicted_B, true_B = output[batch.mask_B].argmax(dim=1), batch.truth[batch.mask_B]
        metrics.update(predicted_B, true_B)
        if self.trainer.testing:
            self.confusion.update(predicted_B, true_B)

    def outcomes(self, output: Any, batch: Batch) -> dict[str, Tensor]:
        off_B = output[batch.mask_B].argmax(dim=1) - batch.truth[batch.mask_B]
        return {"correct": off_B == 0, "absolute": off_B.abs()}

    def predict(self, *inputs: Tensor) -> dict[str, NDArray[Any] | list[Any]]:
        probability_BK = self.network(*inputs).double().exp()
        best_B = probability_BK.argmax(dim=1)
        return {
            "prediction": [self.classes[at] for at in best_B.tolist()],
            "probability": as_numpy(probability_BK.gather(1, best_B[:, None])[:, 0]),
            "probabilities": list(as_numpy(probability_BK)),
        }

    def figures(self) -> dict[str, Figure]:
        return {"confusion": confusion(as_numpy(self.confusion.compute()), self.classes)}


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
