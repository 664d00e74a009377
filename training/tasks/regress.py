"""Regression of a number or a vector; metrics are in the raw units of the target.

Axes: B rows, D numbers per row.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
import torch
from matplotlib.figure import Figure
from pydantic import BaseModel, Field
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import CatMetric, MeanAbsoluteError, MeanSquaredError, Metric, MetricCollection

from millstream.tracking.dataset.records import Affine
from millstream.tracking.dataset.signature import Signature
from millstream.tracking.errors import WrongRecipe
from millstream.tracking.figures import frames
from millstream.tracking.figures.fit import fit as fit_of
from millstream.tracking.figures.residuals import residuals
from millstream.training.config.fit import Fit
from millstream.training.feed.batch import Batch
from millstream.training.predictions import regress as prediction
from millstream.training.task import Stage, Task
from millstream.training.tensors import as_numpy

SHOWN = 500
"""Rows in a figure of the fit."""
FRAMES = 30
FRAME_S = 0.2


class Config(BaseModel, frozen=True, extra="forbid"):
    target: str = Field(description="column with the number or vector")
    loss: Literal["squared", "absolute", "huber"] = Field(
        "squared", description="error of the scaled target; huber is quadratic up to 1 and linear beyond"
    )


class Regress(Task):
    """RMSE, MAE and MSE in raw units; the loss is the error of the scaled target.

    With a single numeric input the fit is plotted: as a figure on test rows, and as an animation on validation rows.
    """

    outputs: ClassVar = prediction.Predictor.outputs
    directions: ClassVar = {"rmse": "min", "mae": "min", "mse": "min"}

    def __init__(self, config: Any, network: nn.Module, signature: Signature, fit: Fit) -> None:
        """Raises WrongRecipe for a target that is not numeric."""
        super().__init__(config, network, signature, fit)
        if signature.target is None or signature.target.meaning in ("category", "tokens"):
            found = f"is a {signature.target.meaning}" if signature.target else "is missing"
            message = (
                f"{config.target} {found}, and not one number a row or several; classify it, or take another target"
            )
            raise WrongRecipe.at(f"task {type(self).__name__.lower()}", message)
        self.affine = (signature.target.columns[0].affine if signature.target else None) or Affine()
        self.predicted, self.true, self.curve = CatMetric(), CatMetric(), CatMetric()
        self.course: list[Tensor] = []
        """The curve at each validation."""

    @property
    def is_curve(self) -> bool:
        """Whether both the input and the target are a single number."""
        inputs, target = self.signature.inputs, self.signature.target
        return [one.shape for one in inputs] == [(1,)] and target is not None and target.shape == ()

    def rows(self, batch: Batch) -> tuple[Tensor, Any]:
        guess_BD = self.network(*batch.arguments).reshape(batch.truth.shape)
        return LOSSES[self.config.loss](guess_BD, batch.truth), guess_BD

    def metrics(self) -> dict[str, Metric]:
        return {"rmse": MeanSquaredError(squared=False), "mae": MeanAbsoluteError(), "mse": MeanSquaredError()}

    def measure(self, metrics: MetricCollection, output: Any, batch: Batch) -> None:
        guess, true = (self.raw(values[batch.mask_B].detach()) for values in (output, batch.truth))
        metrics.update(guess, true)
        self.note(guess, true, batch)

    def note(self, guess: Tensor, true: Tensor, batch: Batch, *band: Tensor) -> None:
        """Collect the unmasked rows for the figures: predictions, targets and the bounds of a band, in raw units."""
        if self.trainer.testing:
            self.predicted.update(guess)
            self.true.update(true)
        if self.is_curve:
            self.curve.update(torch.stack([batch.arguments[0][batch.mask_B, 0], true, guess, *band], dim=1))

    def outcomes(self, output: Tensor, batch: Batch) -> dict[str, Tensor]:
        guess, true = (self.raw(values[batch.mask_B]) for values in (output, batch.truth))
        error = (guess - true).flatten(start_dim=1) if guess.ndim > 1 else (guess - true)[:, None]
        return {"squared": error.square().mean(dim=1), "absolute": error.abs().mean(dim=1)}

    def row_values(self, output: Tensor, batch: Batch) -> dict[str, list[Any]]:
        guess, true = (self.raw(values[batch.mask_B]).tolist() for values in (output, batch.truth))
        return {"true": true, "predicted": guess}

    def raw(self, scaled: Tensor) -> Tensor:
        """Values in the raw units of the target."""
        return scaled / self.affine.factor + self.affine.offset

    @property
    def predictor(self) -> prediction.Predictor:
        return prediction.Predictor(affine=self.affine)

    def figures(self) -> dict[str, Figure]:
        predicted, true = (as_numpy(torch.as_tensor(one.compute())) for one in (self.predicted, self.true))
        unit = self.signature.target.columns[0].unit if self.signature.target else ""
        found = {"residuals": residuals(predicted, true, unit)} | self.figures_of_network()
        return found | ({"fit": self._drawn(self._noted(), "test")} if self.is_curve else {})

    def films(self) -> dict[str, bytes]:
        if not self.course:
            return {}
        chosen = np.unique(np.linspace(0, len(self.course) - 1, FRAMES).astype(int)).tolist()
        figures = [self._drawn(self.course[at], f"validation {at + 1} of {len(self.course)}") for at in chosen]
        return {"fit": frames.film([frames.pixels(one) for one in figures], FRAME_S)}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint["course"] = self.course

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        self.course = checkpoint["course"]

    def _report(self, stage: Stage) -> None:
        super()._report(stage)
        if stage == "valid" and self.is_curve:
            self.course.append(self._noted())
            self.curve.reset()

    def _noted(self) -> Tensor:
        """Inputs, targets and predictions, and the bounds of a band if there is one, (N, 3 or 5)."""
        return torch.as_tensor(self.curve.compute())[:SHOWN].cpu()

    def _drawn(self, curve: Tensor, title: str) -> Figure:
        # the input as the network reads it, the target in raw units
        names = self.signature.inputs[0].columns[0].name, self.signature.target.columns[0].name  # type: ignore[union-attr]
        seen, true, predicted, *band = as_numpy(curve.T)
        return fit_of(seen, true, predicted, names, band=(band[0], band[1]) if band else None, title=title)


def squared(guess: Tensor, true: Tensor) -> Tensor:
    """Mean of (guess - true)**2 over the numbers of a row, (B,)."""
    return _over_numbers((guess - true).square())


def absolute(guess: Tensor, true: Tensor) -> Tensor:
    """Mean of |guess - true| over the numbers of a row, (B,): minimal at the median, so robust to outliers."""
    return _over_numbers((guess - true).abs())


def huber(guess: Tensor, true: Tensor) -> Tensor:
    """Mean over the numbers of a row of d**2 / 2 for |d| <= 1 and |d| - 1/2 beyond, d = guess - true (Huber 1964,
    doi:10.1214/aoms/1177703732)."""
    return _over_numbers(functional.huber_loss(guess, true, reduction="none"))


LOSSES = {"squared": squared, "absolute": absolute, "huber": huber}


def _over_numbers(each: Tensor) -> Tensor:
    return each.flatten(start_dim=1).mean(dim=1) if each.ndim > 1 else each
