"""Dimensionality reduction: encodes a row and reconstructs it; reports MSE, variance kept and trustworthiness.

Its network has `encode(*inputs)`, which returns codes (B, Z), and `decode(codes_BZ)`, which returns as many numbers as
the inputs have, in any shape.
Axes: B rows, D features, Z code dimensions, N rows of a split.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from matplotlib.figure import Figure
from pydantic import BaseModel, Field
from torch import Tensor, nn
from torchmetrics import MeanSquaredError, Metric, MetricCollection

from millstream.tracking.dataset.signature import Signature
from millstream.tracking.errors import BadData
from millstream.tracking.figures.latent import latent
from millstream.tracking.figures.samples import samples
from millstream.training.config.fit import Fit
from millstream.training.estimator import as_images, width
from millstream.training.estimator_module import joined
from millstream.training.explain.tsne_map import neighbour_map
from millstream.training.feed.batch import Batch
from millstream.training.metrics.neighbourhood import NeighbourAccuracy, Trustworthiness
from millstream.training.metrics.variance_kept import VarianceKept
from millstream.training.predictions import reduce as prediction
from millstream.training.task import Task
from millstream.training.tensors import as_numpy

MEASURED = ("number", "vector", "series", "image", "video", "mask")
SHOWN = 2_000
IMAGES = 10


class Config(BaseModel, frozen=True, extra="forbid"):
    colour: str | None = Field(
        None, description="class column that colours the figure of the codes; not used as input or target"
    )
    neighbour_map: int = Field(
        0,
        ge=0,
        le=SHOWN,
        description="number of test rows, from the first, in a t-SNE figure; it affects no metric",
    )


TINY = Config(colour="target", neighbour_map=6)


class Reduce(Task):
    """Reconstruction MSE, share of the split's variance kept, and trustworthiness of the codes."""

    outputs: ClassVar = prediction.Predictor.outputs
    directions: ClassVar = {"mse": "min", "variance_kept": "max", "trustworthiness": "max", "neighbour_accuracy": "max"}
    learns_target = False
    needs = ("encode", "decode")

    def __init__(self, config: Config, network: nn.Module, signature: Signature, fit: Fit) -> None:
        """Raises BadData for inputs that are not numeric, and for a `colour` that is not a class column."""
        super().__init__(config, network, signature, fit)
        wrong = [f"{one.name} ({one.meaning})" for one in signature.inputs if one.meaning not in MEASURED]
        if wrong:
            message = (
                f"{', '.join(wrong)}: no amounts, of which nothing lies between two; encode them, or leave them out"
            )
            raise BadData.at("task reduce", message)
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
        # each metric takes the arguments of its own update()
        against = dict(zip(("class_B",), class_B, strict=False))
        metrics.update(
            preds=again_BD, target=x_BD, again_BD=again_BD, x_BD=x_BD, codes_BZ=codes_BZ, index=batch.index, **against
        )
        if self.trainer.testing and sum(len(one[0]) for one in self.shown) < SHOWN:
            self.shown.append((x_BD, again_BD, codes_BZ, *class_B))

    @property
    def predictor(self) -> prediction.Predictor:
        return prediction.Predictor()

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
        first, again = (as_images(one[:IMAGES], self.signature) for one in (x_ND, again_ND))
        if first is not None and again is not None:
            message = "test images, and what their codes give"
            found["reconstructions"] = samples(np.concatenate([first, again]), len(first), title=message)
        count = self.config.neighbour_map
        if count:
            placed_N2 = neighbour_map(x_ND[:count], self.fit.seed)
            colours = None if colours is None else colours[:count]
            found["neighbour_map"] = latent(placed_N2, colours, classes, title="test rows by t-SNE")
        return found
