"""Density estimation: the joint log-density of all inputs of a row, in nats.

Its network returns log p(x) of each row, (B,). It is the density of the prepared inputs: scaling them by a factor f
shifts it by -log f for each feature.
Axes: B rows, D features.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from pydantic import BaseModel
from torch import Tensor, nn
from torchmetrics import MeanMetric, Metric, MetricCollection

from millstream.tracking.dataset.signature import Signature
from millstream.tracking.errors import BadData
from millstream.tracking.figures.density_map import GRID, density_map, log_densities
from millstream.training.config.fit import Fit
from millstream.training.estimator import column_names, width
from millstream.training.estimator_module import joined
from millstream.training.feed.batch import Batch
from millstream.training.predictions import density as prediction
from millstream.training.task import Task
from millstream.training.tensors import as_numpy

CONTINUOUS = ("number", "vector", "series")
PLANE = 2
SHOWN = 5_000


class Config(BaseModel, frozen=True, extra="forbid"):
    pass


class Density(Task):
    """Loss is -log p(x); `log_likelihood` is the mean of log p(x), `nll` its negative."""

    outputs: ClassVar = prediction.Predictor.outputs
    directions: ClassVar = {"nll": "min", "log_likelihood": "max"}
    learns_target = False

    def __init__(self, config: Config, network: nn.Module, signature: Signature, fit: Fit) -> None:
        """Raises BadData for inputs that are not real-valued: discrete values have probabilities, not a density."""
        super().__init__(config, network, signature, fit)
        wrong = [f"{one.name} ({one.meaning})" for one in signature.inputs if one.meaning not in CONTINUOUS]
        if wrong:
            message = f"{', '.join(wrong)}: no real numbers, so that rows have no density; leave the columns out"
            raise BadData.at("task density", message)
        self.shown: list[tuple[Tensor, Tensor]] = []

    def rows(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Raises BadData for a network that does not return one number per row."""
        log_B = self.network(*batch.arguments)
        if log_B.shape != batch.mask_B.shape:
            message = (
                f"returns {tuple(log_B.shape)} for {len(batch.mask_B)} rows; the task density needs log p(x) of each"
            )
            raise BadData.at("network", message)
        return -log_B, log_B

    def metrics(self) -> dict[str, Metric]:
        return {"log_likelihood": MeanMetric(), "nll": _Negative()}

    def measure(self, metrics: MetricCollection, output: Tensor, batch: Batch) -> None:
        log_B = output[batch.mask_B].detach()
        metrics.update(log_B)
        if self.trainer.testing and sum(len(one[0]) for one in self.shown) < SHOWN:
            self.shown.append((joined(batch.arguments)[batch.mask_B], log_B))

    def outcomes(self, output: Tensor, batch: Batch) -> dict[str, Tensor]:
        log_B = output[batch.mask_B]
        return {"log_likelihood": log_B, "nll": -log_B}

    @property
    def predictor(self) -> prediction.Predictor:
        return prediction.Predictor()

    @torch.no_grad()
    def figures(self) -> dict[str, Figure]:
        if not self.shown:
            return self.figures_of_network()
        x_ND, log_N = (as_numpy(torch.cat(one)[:SHOWN]) for one in zip(*self.shown, strict=True))
        found = {"log_densities": log_densities(log_N)} | self.figures_of_network()
        if len(self.signature.inputs) == 1 and width(self.signature) == PLANE:
            found["density"] = self._map(x_ND)
        return found

    def _map(self, x_N2: NDArray[Any]) -> Figure:
        low, high = x_N2.min(axis=0), x_N2.max(axis=0)
        margin = 0.1 * (high - low)
        ends = zip(low - margin, high + margin, strict=True)
        x, y = (torch.linspace(float(a), float(b), GRID) for a, b in ends)
        places_YX2 = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
        places = places_YX2.reshape(-1, *self.signature.inputs[0].shape).to(self.device)
        log_YX = self.network(places).reshape(GRID, GRID)
        names = column_names(self.signature)
        return density_map(as_numpy(log_YX), as_numpy(x), as_numpy(y), x_N2, (names[0], names[1]))


class _Negative(MeanMetric):
    def compute(self) -> Tensor:
        return -super().compute()
