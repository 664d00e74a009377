"""Multi-class classification by the logits of a network or of a fitted estimator.

A target is a class index, or a probability for each class (one-hot, or a soft label from `mixup`).
Axes: B rows, K classes.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from matplotlib.figure import Figure
from pydantic import BaseModel, Field
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassCalibrationError,
    MulticlassConfusionMatrix,
    MulticlassF1Score,
)

from millstream.tracking.dataset.signature import Signature
from millstream.tracking.errors import WrongRecipe
from millstream.tracking.figures.confusion import confusion
from millstream.tracking.figures.reliability import reliability
from millstream.tracking.figures.score_curves import precision_recall, roc
from millstream.tracking.runs.table import Table
from millstream.training.config.fit import Fit
from millstream.training.estimator_module import EstimatorModule
from millstream.training.explain.grad_cam import SHOWN, Looked, figures
from millstream.training.feed.batch import Batch
from millstream.training.metrics.per_class import per_class
from millstream.training.metrics.ranking import Auc, AveragePrecision
from millstream.training.metrics.reliability import Reliability
from millstream.training.metrics.score_curves import ScoreCurves
from millstream.training.objectives.classification import LOSSES
from millstream.training.predictions import classify as prediction
from millstream.training.task import Task
from millstream.training.tensors import as_numpy

BINARY = 2
MOST_CURVES = 100
"""Number of classes up to which ROC and precision-recall curves are drawn."""


class Config(BaseModel, frozen=True, extra="forbid"):
    target: str = Field(description="column with the class label")
    loss: Literal["cross_entropy", "squared"] = Field(
        "cross_entropy",
        description="negative log-probability of the class, or squared error of all probabilities (Brier)",
    )
    smoothing: float = Field(
        0.0, ge=0, lt=1, description="label smoothing: share of the label spread over all classes (Szegedy et al. 2016)"
    )
    prior: Literal["trained", "corrected"] = Field(
        "trained", description="class prior of the probabilities: that of the training rows, or that before a rebalance"
    )


class Classify(Task):
    """Accuracy, macro-F1 and calibration error; with two classes also AUC and average precision of the second class
    (NaN when the split has no row of it).

    The calibration error is the expected absolute difference between the confidence of a prediction and the accuracy
    in its bin, of 15 bins (Guo et al. 2017, arXiv 1706.04599, equation 3).
    """

    outputs: ClassVar = prediction.Predictor.outputs
    directions: ClassVar = {"accuracy": "max", "macro_f1": "max", "calibration_error": "min", "auc": "max", "ap": "max"}

    def __init__(self, config: Config, network: nn.Module, signature: Signature, fit: Fit) -> None:
        """Raises WrongRecipe for a target with fewer than two classes, and for soft labels with an estimator."""
        self.classes = signature.classes
        if len(self.classes) < BINARY:
            message = f"{config.target} has {len(self.classes)} classes, and it takes two to distinguish"
            raise WrongRecipe.at(
                "task classify", f"{message}; encode it by index, or take the task regress for a number"
            )
        super().__init__(config, network, signature, fit)
        self.confusion = MulticlassConfusionMatrix(len(self.classes))
        self.curves, self.reliability = ScoreCurves(len(self.classes)), Reliability()
        self.looked: Looked | None = None
        self.shift = prediction.prior_shift(signature.shares) if config.prior == "corrected" else ()
        shift_K = torch.tensor(self.shift) if self.shift else torch.zeros(())
        self.register_buffer("shift_K", shift_K, persistent=False)  # derived from recipe and data
        if isinstance(network, EstimatorModule) and signature.target is not None and signature.target.shape:
            message = f"{config.target} holds shares of classes, and an estimator learns whole ones; encode it by index"
            raise WrongRecipe.at("task classify", message)

    def rows(self, batch: Batch) -> tuple[Tensor, Tensor]:
        scores_BK = self.network(*batch.arguments)
        if not self.training:
            scores_BK = scores_BK + self.shift_K
        return LOSSES[self.config.loss](scores_BK, batch.truth, smoothing=self.config.smoothing), scores_BK

    def metrics(self) -> dict[str, Metric]:
        count = len(self.classes)
        found: dict[str, Metric] = {
            "accuracy": MulticlassAccuracy(count, average="micro"),
            "macro_f1": MulticlassF1Score(count, average="macro"),
            "calibration_error": _OfProbabilities(MulticlassCalibrationError(count)),
        }
        if count == BINARY:
            found |= {"auc": _OfSecondClass(Auc()), "ap": _OfSecondClass(AveragePrecision())}
        return found

    def measure(self, metrics: MetricCollection, output: Tensor, batch: Batch) -> None:
        scores_BK, target_B = output[batch.mask_B].detach(), whole(batch.truth[batch.mask_B])
        metrics.update(scores_BK, target_B)
        if self.trainer.testing:
            self.confusion.update(scores_BK, target_B)
            self._update_figures(torch.softmax(scores_BK, dim=1), target_B)
            if self.looked is None and len(target_B):
                self.looked = Looked(tuple(one[batch.mask_B][:SHOWN] for one in batch.arguments), target_B[:SHOWN])

    def outcomes(self, output: Tensor, batch: Batch) -> dict[str, Tensor]:
        scores_BK, target_B = output[batch.mask_B], whole(batch.truth[batch.mask_B])
        found = {"correct": scores_BK.argmax(dim=1) == target_B}
        if len(self.classes) == BINARY:
            found |= {"probability": _second(scores_BK), "positive": target_B == 1}
        return found

    def row_values(self, output: Tensor, batch: Batch) -> dict[str, list[Any]]:
        probability_B, predicted_B = torch.softmax(output[batch.mask_B], dim=1).max(dim=1)
        true_B = whole(batch.truth[batch.mask_B])
        return {
            "true": [self.classes[at] for at in true_B.tolist()],
            "predicted": [self.classes[at] for at in predicted_B.tolist()],
            "probability": [round(one, 4) for one in probability_B.tolist()],
        }

    def tables(self) -> dict[str, Table]:
        return {"per_class": per_class(as_numpy(self.confusion.compute()), self.classes)}

    @property
    def predictor(self) -> prediction.Predictor:
        return prediction.Predictor(classes=self.classes, shift=self.shift)

    def figures(self) -> dict[str, Figure]:
        found = {"confusion": confusion(as_numpy(self.confusion.compute()), self.classes)}
        found |= self._figures_of_scores() | self.figures_of_network()
        # after a test the trainer moves the weights to the CPU, and the rows stay where they were
        looked = self.looked and self.looked.to(self.device)
        return found if looked is None else found | figures(self.network, self.signature, looked)

    def _update_figures(self, probabilities_BK: Tensor, target_B: Tensor) -> None:
        if len(self.classes) <= MOST_CURVES:
            self.curves.update(probabilities_BK, target_B)
        if len(self.classes) == BINARY:
            self.reliability.update(probabilities_BK[:, 1], target_B == 1)
        else:
            probability_B, predicted_B = probabilities_BK.max(dim=1)
            self.reliability.update(probability_B, predicted_B == target_B)

    def _figures_of_scores(self) -> dict[str, Figure]:
        event = self.classes[1] if len(self.classes) == BINARY else "the predicted class"
        rows_N, confidence_N, accuracy_N = map(as_numpy, self.reliability.compute())
        found = {"reliability": reliability(rows_N, confidence_N, accuracy_N, event)}
        if len(self.classes) > MOST_CURVES:
            return found
        # with two classes, the curve of the first one has the same information
        shown = slice(1, None) if len(self.classes) == BINARY else slice(None)
        true_TK, false_TK = (as_numpy(one)[:, shown] for one in self.curves.compute())
        drawn = {"roc": roc, "precision_recall": precision_recall}
        return found | {name: draw(true_TK, false_TK, self.classes[shown]) for name, draw in drawn.items()}


def whole(target: Tensor) -> Tensor:
    """Class indices (B,); for soft labels (B, K) the index of the largest."""
    return target.argmax(dim=1) if target.ndim > 1 else target


class _OfProbabilities(Metric):
    """Applies a metric of class probabilities to logits (B, K)."""

    def __init__(self, inner: Metric) -> None:
        super().__init__()
        self.inner = inner

    def update(self, scores_BK: Tensor, target_B: Tensor) -> None:
        self.inner.update(self.probabilities(scores_BK), target_B)

    def probabilities(self, scores_BK: Tensor) -> Tensor:
        # not left to the metric: it mistakes logits that all lie in [0, 1] for probabilities
        return torch.softmax(scores_BK, dim=1)

    def compute(self) -> Tensor:
        value: Tensor = self.inner.compute()
        return value

    def reset(self) -> None:
        super().reset()
        self.inner.reset()


class _OfSecondClass(_OfProbabilities):
    """Applies a binary metric to the probability of the second class."""

    def probabilities(self, scores_BK: Tensor) -> Tensor:
        return _second(scores_BK)


def _second(scores_BK: Tensor) -> Tensor:
    """Probability (B,) of class 1: the sigmoid of the difference of the two logits."""
    return torch.sigmoid(scores_BK[:, 1] - scores_BK[:, 0])
