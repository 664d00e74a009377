"""Forecast of several steps of one or several series; metrics are in the units of the dataset, as scaled on train.

Axes: B windows, L steps of the past, H of the future, C channels.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from matplotlib.figure import Figure
from pydantic import BaseModel, Field
from torch import Tensor, nn
from torchmetrics import MeanAbsoluteError, MeanSquaredError, Metric, MetricCollection

from millstream.tracking.dataset.signature import Signature
from millstream.tracking.errors import WrongRecipe
from millstream.tracking.figures.forecasts import error_by_horizon, forecasts
from millstream.training.config.fit import Fit
from millstream.training.feed.batch import Batch
from millstream.training.metrics.horizon_error import HorizonError
from millstream.training.predictions import forecast as prediction
from millstream.training.task import Task
from millstream.training.tasks.regress import LOSSES
from millstream.training.tensors import as_numpy

SHOWN = 4
"""Test windows in the figure."""


class Config(BaseModel, frozen=True, extra="forbid"):
    target: str = Field("series", description="the series that the step `window` cuts into past and future")
    loss: Literal["squared", "absolute", "huber"] = Field("squared", description="error of each forecast value")


class Forecast(Task):
    """MSE, MAE and RMSE over all windows, steps and channels, which weigh alike, as in published tables (Zhou et al.
    2021, arXiv 2012.07436)."""

    outputs: ClassVar = prediction.Predictor.outputs
    directions: ClassVar = {"mse": "min", "mae": "min", "rmse": "min"}
    trains_estimators: ClassVar = False

    def __init__(self, config: Config, network: nn.Module, signature: Signature, fit: Fit) -> None:
        """Raises WrongRecipe for a target that is not a series (steps, channels)."""
        super().__init__(config, network, signature, fit)
        target = signature.target
        if target is None or len(target.shape) != 2:
            found = "is missing" if target is None else f"has the shape {target.shape}"
            message = f"{config.target} {found}, and not (steps, channels); put the step window into the recipe"
            raise WrongRecipe.at("task forecast", message)
        self.by_horizon = nn.ModuleDict({name: HorizonError(target.shape[0]) for name in ("model", "last_value")})
        self.shown: list[tuple[Tensor, Tensor, Tensor]] = []

    def rows(self, batch: Batch) -> tuple[Tensor, Any]:
        forecast_BHC = self.network(*batch.arguments).reshape(batch.truth.shape)
        return LOSSES[self.config.loss](forecast_BHC, batch.truth), forecast_BHC

    def metrics(self) -> dict[str, Metric]:
        return {"mse": MeanSquaredError(), "mae": MeanAbsoluteError(), "rmse": MeanSquaredError(squared=False)}

    def measure(self, metrics: MetricCollection, output: Tensor, batch: Batch) -> None:
        forecast_BHC, true_BHC = (one[batch.mask_B].detach() for one in (output, batch.truth))
        metrics.update(forecast_BHC.contiguous(), true_BHC.contiguous())
        if self.trainer.testing and len(true_BHC):
            past_BLC = batch.arguments[0][batch.mask_B]
            last_BHC = past_BLC[:, -1:, : true_BHC.shape[2]].expand_as(true_BHC)
            for name, guess_BHC in (("model", forecast_BHC), ("last_value", last_BHC)):
                self.by_horizon[name].update(guess_BHC, true_BHC)  # type: ignore[operator]
            if len(self.shown) < SHOWN:  # the first window of a batch: those of one batch overlap
                self.shown.append((past_BLC[0], true_BHC[0], forecast_BHC[0]))

    def outcomes(self, output: Tensor, batch: Batch) -> dict[str, Tensor]:
        error_BN = (output - batch.truth)[batch.mask_B].flatten(start_dim=1)
        return {"squared": error_BN.square().mean(dim=1), "absolute": error_BN.abs().mean(dim=1)}

    def raw(self, scaled: Tensor) -> Tensor:
        """The units of the metrics are those of the dataset."""
        return scaled

    @property
    def predictor(self) -> prediction.Predictor:
        target = self.signature.target
        assert target is not None
        return prediction.Predictor(steps=target.shape[0], channels=target.shape[1])

    def figures(self) -> dict[str, Figure]:
        errors = {name.replace("_", " "): as_numpy(one.compute()) for name, one in self.by_horizon.items()}  # type: ignore[operator]
        found = {"error_by_horizon": error_by_horizon(errors)}
        if not self.shown:
            return found
        return found | {"forecasts": forecasts([tuple(map(as_numpy, window)) for window in self.shown])}
