"""Tells a row by few numbers, from which it can be made again: squared error, share of variance, neighbours kept.

A network for it gives `encode(*inputs)`, the few numbers (B, Z), and `decode(codes_BZ)`, whose numbers are those of the
inputs, in any shape.
Axes: B rows, D numbers of a row, Z numbers of a code, N rows of a split.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from pydantic import BaseModel, Field
from torch import Tensor, nn
from torchmetrics import MeanSquaredError, Metric, MetricCollection

from millstream.tracking.dataset.signature import Signature
from millstream.tracking.errors import BadData
from millstream.tracking.figures.latent import latent
from millstream.tracking.figures.samples import samples
from millstream.training.config.fit import Fit
from millstream.training.estimator import joined, pictures, width
from millstream.training.explain.tsne_map import neighbour_map
from millstream.training.feed.batch import Batch
from millstream.training.metrics.neighbourhood import NeighbourAccuracy, Trustworthiness
from millstream.training.metrics.variance_kept import VarianceKept
from millstream.training.task import Task
from millstream.training.tensors import as_numpy

MEASURED = ("number", "vector", "series", "image", "video", "mask")
SHOWN = 2_000
PICTURES = 10


class Config(BaseModel, frozen=True, extra="forbid"):
    colour: str | None = Field(
        None, description="a class column, by which the map of the codes is coloured; never learned from, and no input"
    )
    neighbour_map: int = Field(
        0,
        ge=0,
        le=SHOWN,
        description="test rows, the first ones, that are shown on a map of their own by t-SNE; a picture alone",
    )


class Reduce(Task):
    """MSE of the rows made again, the share of the split's variance in them, and whether like rows have like codes."""

    outputs: ClassVar = {"code": "Array(double)", "reconstruction_error": "double"}
    learns_target = False
    needs = ("encode", "decode")

    def __init__(self, config: Config, network: nn.Module, signature: Signature, fit: Fit) -> None:
        """Raises BadData for inputs that are no amounts, and for a colour that is no class."""
        super().__init__(config, network, signature, fit)
        wrong = [f"{one.name} ({one.meaning})" for one in signature.inputs if one.meaning not in MEASURED]
        if wrong:
            told = f"{', '.join(wrong)}: no amounts, of which nothing lies between two; encode them, or leave them out"
            raise BadData.at("task reduce", told)
        if config.colour is not None and not signature.classes:
            found = signature.target.meaning if signature.target else "none"
            raise BadData.at("task reduce", f"colour {config.colour!r} is {found}; it has to be a class, or left out")
        self.shown: list[tuple[Tensor, ...]] = []

    @classmethod
    def targets_of(cls, config: Any) -> tuple[str, ...]:
        return () if config.colour is None else (config.colour,)

    def rows(self, batch: Batch) -> tuple[Tensor, Any]:
        codes_BZ = self.network.encode(*batch.arguments)
        again_BD = self.network.decode(codes_BZ).flatten(start_dim=1)
        return (again_BD - joined(batch.arguments)).square().mean(dim=1), (codes_BZ, again_BD)

    def metrics(self) -> dict[str, Metric]:
        found: dict[str, Metric] = {"mse": MeanSquaredError(), "variance_kept": VarianceKept(width(self.signature))}
        found["trustworthiness"] = Trustworthiness()
        return found | ({"neighbour_accuracy": NeighbourAccuracy()} if self.config.colour else {})

    def measure(self, metrics: MetricCollection, output: Any, batch: Batch) -> None:
        real = batch.mask_B
        x_BD = joined(batch.arguments)[real]
        codes_BZ, again_BD = (one[real].detach() for one in output)
        class_B = (batch.truth[real],) if self.config.colour else ()
        # each metric takes what it has a name for
        against = dict(zip(("class_B",), class_B, strict=False))
        metrics.update(
            preds=again_BD, target=x_BD, again_BD=again_BD, x_BD=x_BD, codes_BZ=codes_BZ, index=batch.index, **against
        )
        if self.trainer.testing and sum(len(one[0]) for one in self.shown) < SHOWN:
            self.shown.append((x_BD, again_BD, codes_BZ, *class_B))

    def predict(self, *inputs: Tensor) -> dict[str, NDArray[Any] | list[Any]]:
        codes_BZ = self.network.encode(*inputs)
        again_BD = self.network.decode(codes_BZ).flatten(start_dim=1)
        error_B = (again_BD - joined(inputs)).square().mean(dim=1)
        return {"code": list(as_numpy(codes_BZ.double())), "reconstruction_error": as_numpy(error_B.double())}

    def figures(self) -> dict[str, Figure]:
        if not self.shown:
            return self.figures_of_network()
        x_ND, again_ND, codes_NZ, *colour_N = (
            as_numpy(torch.cat(one)[:SHOWN]) for one in zip(*self.shown, strict=True)
        )
        colours, classes = colour_N[0] if colour_N else None, self.signature.classes
        found = self.figures_of_network()
        if codes_NZ.shape[1] > 1:
            found["codes"] = latent(codes_NZ, colours, classes)
        first, again = (pictures(one[:PICTURES], self.signature) for one in (x_ND, again_ND))
        if first is not None and again is not None:
            told = "test images, and what their codes give"
            found["reconstructions"] = samples(np.concatenate([first, again]), len(first), title=told)
        count = self.config.neighbour_map
        if count:
            placed_N2 = neighbour_map(x_ND[:count], self.fit.seed)
            colours = None if colours is None else colours[:count]
            found["neighbour_map"] = latent(placed_N2, colours, classes, title="test rows by t-SNE")
        return found
