"""Quantile regression: predicts conditional quantiles of the target (pinball loss).

Source: Koenker & Bassett 1978, doi:10.2307/1913643; predicted quantiles are sorted, which never increases their error
(Chernozhukov, Fernandez-Val & Galichon 2010, doi:10.3982/ECTA7880).
Axes: B rows, Q quantiles.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, ClassVar

import torch
from pydantic import BaseModel, Field, field_validator
from torch import Tensor, nn
from torchmetrics import MeanAbsoluteError, MeanMetric, Metric, MetricCollection

from millstream.tracking.dataset.signature import Signature
from millstream.tracking.errors import WrongRecipe
from millstream.training.config.fit import Fit
from millstream.training.feed.batch import Batch
from millstream.training.predictions import quantiles as prediction
from millstream.training.tasks.regress import Regress


class Config(BaseModel, frozen=True, extra="forbid"):
    target: str = Field(description="column with the number")
    shares: tuple[float, ...] = Field(
        (0.05, 0.25, 0.5, 0.75, 0.95),
        min_length=2,
        description="quantile levels in increasing order; the middle one is the prediction",
    )

    @field_validator("shares")
    @classmethod
    def _rising(cls, shares: tuple[float, ...]) -> tuple[float, ...]:
        if not all(low < high for low, high in pairwise((0.0, *shares, 1.0))):
            raise ValueError(f"{shares}: are not rising between 0 and 1, both left out")
        return shares


class Quantiles(Regress):
    """Pinball loss and MAE of the prediction in raw units, and the fraction of rows between the outermost quantiles.

    The loss is the pinball loss of the scaled target.
    """

    outputs: ClassVar = prediction.Predictor.outputs
    directions: ClassVar = {"pinball": "min", "coverage": "max", "mae": "min"}
    trains_estimators: ClassVar = False
    shares_Q: Tensor

    def __init__(self, config: Config, network: nn.Module, signature: Signature, fit: Fit) -> None:
        super().__init__(config, network, signature, fit)
        self.register_buffer("shares_Q", torch.tensor(config.shares), persistent=False)
        if signature.target is None or signature.target.shape or signature.classes:
            raise WrongRecipe.at("task quantiles", f"{config.target} is not one number a row; take another target")

    @classmethod
    def network_signature(cls, config: Config, signature: Signature) -> Signature:
        return signature.with_outputs(len(config.shares))

    def rows(self, batch: Batch) -> tuple[Tensor, Any]:
        predicted_BQ = self.network(*batch.arguments)
        return pinball(predicted_BQ, batch.truth, self.shares_Q), predicted_BQ

    def metrics(self) -> dict[str, Metric]:
        means = {name: MeanMetric(nan_strategy="disable") for name in ("pinball", "coverage")}
        return {**means, "mae": MeanAbsoluteError()}

    def measure(self, metrics: MetricCollection, output: Any, batch: Batch) -> None:
        predicted_BQ, true_B = self._raw_pairs(output, batch)
        found = self.outcomes(output, batch)
        metrics["pinball"].update(found["pinball"])
        metrics["coverage"].update(found["coverage"])
        metrics["mae"].update(prediction.middle(predicted_BQ), true_B)
        self.note(prediction.middle(predicted_BQ), true_B, batch, predicted_BQ[:, 0], predicted_BQ[:, -1])

    def outcomes(self, output: Any, batch: Batch) -> dict[str, Tensor]:
        predicted_BQ, true_B = self._raw_pairs(output, batch)
        is_inside_B = (predicted_BQ[:, 0] <= true_B) & (true_B <= predicted_BQ[:, -1])
        return {
            "pinball": pinball(predicted_BQ, true_B, self.shares_Q),
            "coverage": is_inside_B.float(),
            "absolute": (prediction.middle(predicted_BQ) - true_B).abs(),
        }

    def row_values(self, output: Any, batch: Batch) -> dict[str, list[Any]]:
        predicted_BQ, true_B = self._raw_pairs(output, batch)
        ends = {f"quantile {share}": predicted_BQ[:, at] for at, share in enumerate(sorted(self.config.shares))}
        found = {"true": true_B, "predicted": prediction.middle(predicted_BQ), **ends}
        return {name: values_B.tolist() for name, values_B in found.items()}

    @property
    def predictor(self) -> prediction.Predictor:
        return prediction.Predictor(affine=self.affine)

    def _raw_pairs(self, output: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        """Sorted predicted quantiles and targets of the unmasked rows, in raw units."""
        predicted_BQ, true_B = (self.raw(one[batch.mask_B].detach()) for one in (output, batch.truth))
        return predicted_BQ.sort(dim=1).values, true_B


def pinball(predicted_BQ: Tensor, true_B: Tensor, shares_Q: Tensor) -> Tensor:
    """Mean over Q of share * (true - predicted) where too low, (1 - share) * (predicted - true) elsewhere, (B,)."""
    short_BQ = true_B[:, None] - predicted_BQ
    return torch.maximum(shares_Q * short_BQ, (shares_Q - 1) * short_BQ).mean(dim=1)
