"""Multi-label classification: predicts which of several tags a row has.

Each tag is a separate binary target (binary relevance; Tsoumakas & Katakis 2007, doi:10.4018/jdwm.2007070101).
Axes: B rows, K tags.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import MultilabelExactMatch, MultilabelF1Score

from millstream.tracking.dataset.signature import Signature
from millstream.tracking.errors import WrongRecipe
from millstream.training.config.fit import Fit
from millstream.training.feed.batch import Batch
from millstream.training.metrics.ranking import MeanAuc, MeanAveragePrecision
from millstream.training.predictions import tags as prediction
from millstream.training.task import Task


class Config(BaseModel, frozen=True, extra="forbid"):
    target: str = Field(description="column with a multi-hot vector: 1 for each tag of the row, 0 elsewhere")


class Tags(Task):
    """Fraction of rows with all tags correct (accuracy), and macro-F1, AUC and average precision, averaged over tags.

    A tag without a row in the split counts in F1 alone, as 0.
    """

    outputs: ClassVar = prediction.Predictor.outputs
    directions: ClassVar = {"accuracy": "max", "macro_f1": "max", "auc": "max", "ap": "max"}
    trains_estimators: ClassVar = False

    def __init__(self, config: Config, network: nn.Module, signature: Signature, fit: Fit) -> None:
        found = signature.target
        if found is None or len(found.shape) != 1 or found.shape[0] < 2:
            raise WrongRecipe.at("task tags", f"{config.target} is no vector of tags; take another target")
        self.tags = signature.classes or tuple(str(at) for at in range(found.shape[0]))
        super().__init__(config, network, signature, fit)

    def rows(self, batch: Batch) -> tuple[Tensor, Any]:
        scores_BK = self.network(*batch.arguments)
        return cross_entropy(scores_BK, batch.truth.to(scores_BK.dtype)), scores_BK

    def metrics(self) -> dict[str, Metric]:
        count = len(self.tags)
        return {
            "accuracy": MultilabelExactMatch(count),
            "macro_f1": MultilabelF1Score(count, average="macro"),
            "auc": MeanAuc(count, average="none"),
            "ap": MeanAveragePrecision(count, average="none"),
        }

    def measure(self, metrics: MetricCollection, output: Any, batch: Batch) -> None:
        real = batch.mask_B
        metrics.update(torch.sigmoid(output[real].detach()), batch.truth[real].long())

    def outcomes(self, output: Any, batch: Batch) -> dict[str, Tensor]:
        is_predicted_BK, has_BK = torch.sigmoid(output[batch.mask_B]) > 1 / 2, batch.truth[batch.mask_B] > 0
        return {"correct": (is_predicted_BK == has_BK).all(dim=1)}

    @property
    def predictor(self) -> prediction.Predictor:
        return prediction.Predictor(tags=self.tags)


def cross_entropy(scores_BK: Tensor, has_BK: Tensor) -> Tensor:
    """Binary cross-entropy averaged over the K tags, (B,), in nats."""
    return functional.binary_cross_entropy_with_logits(scores_BK, has_BK, reduction="none").mean(dim=1)
