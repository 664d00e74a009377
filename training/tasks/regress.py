"""Tells a number (or several): squared error, measured in the raw units of the target.

Axes: B rows, D numbers a row.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from pydantic import BaseModel, Field
from torch import Tensor, nn
from torchmetrics import CatMetric, MeanAbsoluteError, MeanSquaredError, Metric, MetricCollection

from tracking.figures.residuals import residuals
from tracking.manifest import Affine, Signature
from training.feed.batch import Batch
from training.fit_config import Fit
from training.task import Task, as_numpy


class Config(BaseModel, frozen=True, extra="forbid"):
    target: str = Field(description="the column with the number")


class Regress(Task):
    """RMSE, MAE and MSE in raw units; the loss is the squared error of the scaled target."""

    outputs: ClassVar = {"prediction": "double"}

    def __init__(self, config: Config, network: nn.Module, signature: Signature, fit: Fit) -> None:
        super().__init__(config, network, signature, fit)
        self.affine = (signature.target.columns[0].affine if signature.target else None) or Affine()
        self.predicted, self.true = CatMetric(), CatMetric()

    def rows(self, batch: Batch) -> tuple[Tensor, Tensor]:
        guess_BD = self.network(*batch.inputs).reshape(batch.truth.shape)
        return squared_error(guess_BD, batch.truth), guess_BD

    def metrics(self) -> dict[str, Metric]:
        return {"rmse": MeanSquaredError(squared=False), "mae": MeanAbsoluteError(), "mse": MeanSquaredError()}

    def measure(self, metrics: MetricCollection, output: Tensor, batch: Batch) -> None:
        guess, true = (self.raw(values[batch.mask_B].detach()) for values in (output, batch.truth))
        metrics.update(guess, true)
        if self.trainer.testing:
            self.predicted.update(guess)
            self.true.update(true)

    def raw(self, scaled: Tensor) -> Tensor:
        """Values in the target's own units."""
        return scaled / self.affine.factor + self.affine.offset

    def predict(self, *inputs: Tensor) -> dict[str, NDArray[Any] | list[Any]]:
        guess_BD = self.raw(self.network(*inputs).double())
        return {"prediction": as_numpy(guess_BD[:, 0])}

    def figures(self) -> dict[str, Figure]:
        predicted, true = (as_numpy(torch.as_tensor(one.compute())) for one in (self.predicted, self.true))
        unit = self.signature.target.columns[0].unit if self.signature.target else ""
        return {"residuals": residuals(predicted, true, unit)} | self.figures_of_network()


def squared_error(guess_BD: Tensor, true_BD: Tensor) -> Tensor:
    """The mean of (guess - true)**2 over a row's numbers, (B,)."""
    return (
        (guess_BD - true_BD).square().flatten(start_dim=1).mean(dim=1)
        if guess_BD.ndim > 1
        else (guess_BD - true_BD).square()
    )
