"""Mean, deviation and interval of the predictive distribution, in the raw units of the target."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field
from torch import Tensor

from millstream.training.objectives.distributions import AnyHead, Distribution, Dropout, quantile
from millstream.training.objectives.mc_dropout import passes
from millstream.training.predictions import regress
from millstream.training.predictions._predictor import Columns
from millstream.training.tensors import as_numpy


class Predictor(regress.Predictor):
    outputs: ClassVar = {"prediction": "double", "deviation": "double", "low": "double", "high": "double"}
    head: AnyHead
    interval: float = Field(description="nominal coverage of the interval from `low` to `high`")
    seed: int = Field(description="seed of the dropout masks")

    def distribution(self, network: Any, inputs: tuple[Any, ...]) -> Distribution:
        """The predictive distribution of each row in evaluation, in units of the scaled target."""
        if isinstance(self.head, Dropout):
            return self.head.distribution(passes(network, inputs, self.head.passes, self.seed)[:, 0])
        return self.head.distribution(network(*inputs))

    def ends(self, distribution: Distribution) -> tuple[Tensor, Tensor]:
        """Lower and upper bound of the interval, in units of the scaled target."""
        outside = (1 - self.interval) / 2
        return quantile(distribution, outside), quantile(distribution, 1 - outside)

    def predict(self, network: Any, *inputs: Any) -> Columns:
        distribution = self.distribution(network, inputs)
        low, high = self.ends(distribution)
        found = {
            "prediction": self.raw(distribution.mean.double()),
            "deviation": distribution.stddev.double() / self.affine.factor,
            "low": self.raw(low.double()),
            "high": self.raw(high.double()),
        }
        return {name: as_numpy(values) for name, values in found.items()}
