"""Regression of a count: Poisson regression with a logarithmic link.

Source: McCullagh & Nelder 1989, Generalized Linear Models, chapter 6. Axes: B rows; likelihoods in nats.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from matplotlib.figure import Figure
from pydantic import BaseModel, Field
from torch import Tensor, nn
from torchmetrics import CatMetric, MeanMetric, MeanSquaredError, Metric, MetricCollection

from millstream.tracking.dataset.signature import Signature
from millstream.tracking.errors import WrongRecipe
from millstream.tracking.figures.residuals import residuals
from millstream.training.config.fit import Fit
from millstream.training.feed.batch import Batch
from millstream.training.predictions import count as prediction
from millstream.training.task import Task
from millstream.training.tensors import as_numpy


class Config(BaseModel, frozen=True, extra="forbid"):
    target: str = Field(description="column with the count, a non-negative integer, not scaled")


class Count(Task):
    """Deviance, log-likelihood, and RMSE of the mean; the loss is the negative log-likelihood."""

    outputs: ClassVar = prediction.Predictor.outputs
    directions: ClassVar = {"rmse": "min", "deviance": "min", "log_likelihood": "max"}
    trains_estimators: ClassVar = False

    def __init__(self, config: Config, network: nn.Module, signature: Signature, fit: Fit) -> None:
        super().__init__(config, network, signature, fit)
        self.predicted, self.true = CatMetric(), CatMetric()
        if signature.target is None or signature.target.shape or signature.classes:
            raise WrongRecipe.at("task count", f"{config.target} is not one number a row; take another target")
        if signature.target.columns[0].affine is not None:
            raise WrongRecipe.at("task count", f"{config.target} is scaled, and then no count; leave that step out")

    def rows(self, batch: Batch) -> tuple[Tensor, Any]:
        log_rate_B = self.network(*batch.arguments)[:, 0]
        return -log_poisson(log_rate_B, batch.truth), log_rate_B

    def metrics(self) -> dict[str, Metric]:
        means = {name: MeanMetric(nan_strategy="disable") for name in ("deviance", "log_likelihood")}
        return {**means, "rmse": MeanSquaredError(squared=False)}

    def measure(self, metrics: MetricCollection, output: Any, batch: Batch) -> None:
        log_rate_B, true_B = (one[batch.mask_B].detach() for one in (output, batch.truth))
        metrics["deviance"].update(deviance(log_rate_B, true_B))
        metrics["log_likelihood"].update(log_poisson(log_rate_B, true_B))
        metrics["rmse"].update(log_rate_B.exp(), true_B)
        if self.trainer.testing:
            self.predicted.update(log_rate_B.exp())
            self.true.update(true_B)

    def outcomes(self, output: Any, batch: Batch) -> dict[str, Tensor]:
        log_rate_B, true_B = output[batch.mask_B], batch.truth[batch.mask_B]
        found = {"deviance": deviance(log_rate_B, true_B), "log_likelihood": log_poisson(log_rate_B, true_B)}
        return found | {"squared": (log_rate_B.exp() - true_B).square()}

    def row_values(self, output: Any, batch: Batch) -> dict[str, list[Any]]:
        return {"true": batch.truth[batch.mask_B].tolist(), "predicted": output[batch.mask_B].exp().tolist()}

    @property
    def predictor(self) -> prediction.Predictor:
        return prediction.Predictor()

    def figures(self) -> dict[str, Figure]:
        predicted, true = (as_numpy(torch.as_tensor(one.compute())) for one in (self.predicted, self.true))
        return {"residuals": residuals(predicted, true, "")}


def log_poisson(log_rate_B: Tensor, count_B: Tensor) -> Tensor:
    """log p(count) of a Poisson distribution, (B,)."""
    return count_B * log_rate_B - log_rate_B.exp() - torch.lgamma(count_B + 1)


def deviance(log_rate_B: Tensor, count_B: Tensor) -> Tensor:
    """Poisson deviance, (B,): twice the log-likelihood ratio to a rate equal to the count; 0 log 0 is 0."""
    return 2 * (torch.xlogy(count_B, count_B) - count_B * log_rate_B - count_B + log_rate_B.exp())
