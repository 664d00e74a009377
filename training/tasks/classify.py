"""Tells the class of a row: cross-entropy on the scores of a network, or of a fitted estimator.

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
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import (
    BinaryAUROC,
    BinaryAveragePrecision,
    MulticlassAccuracy,
    MulticlassConfusionMatrix,
    MulticlassF1Score,
)

from tracking.figures.confusion import confusion
from tracking.manifest import Signature
from training.feed.batch import Batch
from training.fit_config import Fit
from training.task import Task, as_numpy

BINARY = 2


class Config(BaseModel, frozen=True, extra="forbid"):
    target: str = Field(description="the column with the class")
    smoothing: float = Field(
        0.0, ge=0, lt=1, description="share of the label spread over all classes (Szegedy et al. 2016)"
    )


class Classify(Task):
    """Accuracy and macro-F1; with two classes also AUC and average precision of the second class."""

    outputs: ClassVar = {"prediction": "string", "probability": "double", "probabilities": "Array(double)"}

    def __init__(self, config: Config, network: nn.Module, signature: Signature, fit: Fit) -> None:
        self.classes = signature.classes
        super().__init__(config, network, signature, fit)
        self.confusion = MulticlassConfusionMatrix(len(self.classes))

    def rows(self, batch: Batch) -> tuple[Tensor, Tensor]:
        scores_BK = self.network(*batch.inputs)
        return cross_entropy(scores_BK, batch.truth, smoothing=self.config.smoothing), scores_BK

    def metrics(self) -> dict[str, Metric]:
        count = len(self.classes)
        found: dict[str, Metric] = {
            "accuracy": MulticlassAccuracy(count, average="micro"),
            "macro_f1": MulticlassF1Score(count, average="macro"),
        }
        if count == BINARY:
            found |= {"auc": _OfSecondClass(BinaryAUROC()), "ap": _OfSecondClass(BinaryAveragePrecision())}
        return found

    def measure(self, metrics: MetricCollection, output: Tensor, batch: Batch) -> None:
        scores_BK, target_B = output[batch.mask_B].detach(), batch.truth[batch.mask_B]
        metrics.update(scores_BK, target_B)
        if self.trainer.testing:
            self.confusion.update(scores_BK, target_B)

    def predict(self, *inputs: Tensor) -> dict[str, NDArray[Any] | list[Any]]:
        chances_BK = torch.softmax(self.network(*inputs).double(), dim=1)
        best_B = chances_BK.argmax(dim=1)
        return {
            "prediction": [self.classes[at] for at in best_B.tolist()],
            "probability": as_numpy(chances_BK.gather(1, best_B[:, None])[:, 0]),
            "probabilities": list(as_numpy(chances_BK)),
        }

    def figures(self) -> dict[str, Figure]:
        return {"confusion": confusion(as_numpy(self.confusion.compute()), self.classes)}


def cross_entropy(scores_BK: Tensor, target_B: Tensor, *, smoothing: float = 0.0) -> Tensor:
    """-log softmax(scores)[target], (B,), in nats; `smoothing` mixes in the mean over all classes."""
    return functional.cross_entropy(scores_BK, target_B, reduction="none", label_smoothing=smoothing)


class _OfSecondClass(Metric):
    """A binary metric read off two scores: the chance of class 1 follows from their difference."""

    def __init__(self, binary: Metric) -> None:
        super().__init__()
        self.binary = binary

    def update(self, scores_BK: Tensor, target_B: Tensor) -> None:
        self.binary.update(torch.sigmoid(scores_BK[:, 1] - scores_BK[:, 0]), target_B)

    def compute(self) -> Tensor:
        value: Tensor = self.binary.compute()
        return value

    def reset(self) -> None:
        super().reset()
        self.binary.reset()
