"""Ordinal classification: one score per row, and ordered thresholds between neighbouring classes.

Source: the cumulative link (proportional odds) model, McCullagh 1980, doi:10.1111/j.2517-6161.1980.tb01109.x; one score
for all thresholds as in CORAL (Cao, Mirjalili & Raschka 2020, arXiv 1901.07884).
Differs from CORAL: the loss is the likelihood of the class, and the thresholds are ordered by construction.
Axes: B rows, K classes.
"""

from __future__ import annotations

from typing import Any, ClassVar

from matplotlib.figure import Figure
from pydantic import BaseModel, Field
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import MeanAbsoluteError, Metric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassCohenKappa, MulticlassConfusionMatrix

from millstream.tracking.dataset.signature import Signature
from millstream.tracking.errors import WrongRecipe
from millstream.tracking.figures.confusion import confusion
from millstream.tracking.runs.table import Table
from millstream.training.config.fit import Fit
from millstream.training.feed.batch import Batch
from millstream.training.metrics.per_class import per_class
from millstream.training.predictions import ordinal as prediction
from millstream.training.task import Task
from millstream.training.tensors import as_numpy


class Config(BaseModel, frozen=True, extra="forbid"):
    target: str = Field(description="column with the class label; classes are ordered as encoded")


class Ordinal(Task):
    """Accuracy, mean absolute error in classes (mae), and Cohen's kappa with quadratic weights."""

    outputs: ClassVar = prediction.Predictor.outputs
    directions: ClassVar = {"accuracy": "max", "mae": "min", "kappa": "max"}
    trains_estimators: ClassVar = False

    def __init__(self, config: Config, network: nn.Module, signature: Signature, fit: Fit) -> None:
        self.classes = signature.classes
        if len(self.classes) < 2 or (signature.target is not None and signature.target.shape):
            raise WrongRecipe.at("task ordinal", f"{config.target} is no class by number; encode it by index")
        self.check_network(network)
        super().__init__(config, prediction.Thresholds(network, len(self.classes)), signature, fit)
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

    def row_values(self, output: Any, batch: Batch) -> dict[str, list[str]]:
        found = {"true": batch.truth, "predicted": output.argmax(dim=1)}
        return {name: [self.classes[at] for at in one[batch.mask_B].tolist()] for name, one in found.items()}

    def tables(self) -> dict[str, Table]:
        return {"per_class": per_class(as_numpy(self.confusion.compute()), self.classes)}

    @property
    def predictor(self) -> prediction.Predictor:
        return prediction.Predictor(classes=self.classes)

    def figures(self) -> dict[str, Figure]:
        return {"confusion": confusion(as_numpy(self.confusion.compute()), self.classes)}
