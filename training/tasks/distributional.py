"""Distributional regression: predicts the conditional distribution of the target.

Axes: B rows, P outputs of the network, S passes; likelihoods in nats.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from matplotlib.figure import Figure
from pydantic import BaseModel, Field
from torch import Tensor, nn
from torchmetrics import CatMetric, MeanMetric, MeanSquaredError, Metric, MetricCollection

from millstream.tracking.dataset.signature import Signature
from millstream.tracking.errors import WrongRecipe
from millstream.tracking.figures.calibration import calibration
from millstream.training.config.fit import Fit
from millstream.training.feed.batch import Batch
from millstream.training.objectives.distributions import AnyHead, Distribution, Dropout
from millstream.training.objectives.mc_dropout import leaves_out
from millstream.training.predictions import distributional as prediction
from millstream.training.tasks.regress import Regress
from millstream.training.tensors import as_numpy


class Config(BaseModel, frozen=True, extra="forbid"):
    target: str = Field(description="column with the number")
    head: AnyHead = Field(description="output distribution that the network's outputs parameterize")
    interval: float = Field(
        0.9, gt=0, lt=1, description="nominal coverage of the prediction interval from `low` to `high`"
    )


TINY = Config(target="target", head=Dropout(name="dropout", precision=4.0, passes=3))


class Distributional(Regress):
    """Log-likelihood and RMSE of the mean in raw units, and the fraction of rows inside their prediction interval.

    The loss is the negative log-likelihood of the scaled target.
    """

    outputs: ClassVar = prediction.Predictor.outputs
    directions: ClassVar = {"rmse": "min", "log_likelihood": "max", "coverage": "max"}
    trains_estimators: ClassVar = False

    def __init__(self, config: Config, network: nn.Module, signature: Signature, fit: Fit) -> None:
        super().__init__(config, network, signature, fit)
        self.cumulative = CatMetric()
        if signature.target is None or signature.target.shape or signature.classes:
            raise WrongRecipe.at("task distributional", f"{config.target} is not one number a row; take another target")
        if isinstance(config.head, Dropout) and not leaves_out(network):
            raise WrongRecipe.at(
                "task distributional", "head dropout: the network leaves no units out; set its dropout"
            )

    @classmethod
    def network_signature(cls, config: Config, signature: Signature) -> Signature:
        return signature.with_outputs(config.head.outputs)

    def distribution(self, inputs: tuple[Tensor, ...]) -> Distribution:
        """The predictive distribution of each row, in units of the scaled target."""
        if not self.training:
            return self.predictor.distribution(self.network, inputs)
        distribution: Distribution = self.config.head.distribution(self.network(*inputs))
        return distribution

    def rows(self, batch: Batch) -> tuple[Tensor, Any]:
        distribution = self.distribution(batch.arguments)
        return -distribution.log_prob(batch.truth), distribution  # type: ignore[no-untyped-call]

    def metrics(self) -> dict[str, Metric]:
        return {
            "log_likelihood": MeanMetric(nan_strategy="disable"),
            "rmse": MeanSquaredError(squared=False),
            "coverage": MeanMetric(nan_strategy="disable"),
        }

    def measure(self, metrics: MetricCollection, output: Any, batch: Batch) -> None:
        distribution, real, true = output, batch.mask_B, batch.truth
        low, high = self.predictor.ends(distribution)
        found = self.outcomes(distribution, batch)
        metrics["log_likelihood"].update(found["log_likelihood"])
        metrics["rmse"].update(self.raw(distribution.mean)[real], self.raw(true)[real])
        metrics["coverage"].update(found["coverage"])
        self.note(
            self.raw(distribution.mean)[real], self.raw(true)[real], batch, self.raw(low)[real], self.raw(high)[real]
        )
        if self.trainer.testing:
            self.cumulative.update(distribution.cdf(true)[real])

    def outcomes(self, output: Any, batch: Batch) -> dict[str, Tensor]:
        distribution, real, true = output, batch.mask_B, batch.truth
        low, high = self.predictor.ends(distribution)
        return {
            "log_likelihood": self.raw_log_likelihood(distribution.log_prob(true))[real],
            "coverage": ((low <= true) & (true <= high))[real].float(),
            "squared": (self.raw(distribution.mean) - self.raw(true))[real].square(),
        }

    def row_values(self, output: Any, batch: Batch) -> dict[str, list[Any]]:
        return super().row_values(output.mean, batch)

    def raw_log_likelihood(self, scaled: Tensor) -> Tensor:
        """log p of the target in raw units, from that of the scaled target: y = scaled / factor + offset."""
        return scaled + math.log(self.affine.factor)

    @property
    def predictor(self) -> prediction.Predictor:
        return prediction.Predictor(
            affine=self.affine, head=self.config.head, interval=self.config.interval, seed=self.fit.seed
        )

    def figures(self) -> dict[str, Figure]:
        return {**super().figures(), "calibration": calibration(as_numpy(torch.as_tensor(self.cumulative.compute())))}
