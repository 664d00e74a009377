"""Unsupervised clustering: assigns each row to a cluster.

Sources: adjusted Rand: Hubert & Arabie 1985, doi:10.1007/BF01908075; silhouette: Rousseeuw 1987,
doi:10.1016/0377-0427(87)90125-7.
Its network has `clusters(*inputs)`, which returns the cluster index of each row, (B,) int64, -1 for none, and the
distance of the row to it, (B,), which is the loss.
Axes: B rows, D features, N rows of a split.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from matplotlib.figure import Figure
from pydantic import BaseModel, Field
from torch import Tensor, nn
from torchmetrics import MeanMetric, Metric, MetricCollection
from torchmetrics.clustering import AdjustedRandScore

from millstream.tracking.dataset.signature import Signature
from millstream.tracking.errors import BadData
from millstream.tracking.figures.clusters import clusters
from millstream.training.config.fit import Fit
from millstream.training.estimator_module import joined
from millstream.training.explain.tsne_map import neighbour_map
from millstream.training.feed.batch import Batch
from millstream.training.metrics.silhouette import Silhouette
from millstream.training.predictions import cluster as prediction
from millstream.training.task import Task
from millstream.training.tensors import as_numpy

SHOWN = 2_000


class Config(BaseModel, frozen=True, extra="forbid"):
    against: str | None = Field(
        None, description="class column to compare clusters with; used for metrics only, not as input or target"
    )
    neighbour_map: int = Field(
        0,
        ge=0,
        le=SHOWN,
        description="number of test rows, from the first, in a t-SNE figure; it affects no metric",
    )


TINY = Config(against="target", neighbour_map=6)


class Cluster(Task):
    """Adjusted Rand index against a class column, silhouette, and the fraction of rows assigned to a cluster."""

    outputs: ClassVar = prediction.Predictor.outputs
    directions: ClassVar = {"silhouette": "max", "clustered": "max", "rand_index": "max"}
    learns_target = False
    needs = ("clusters",)

    def __init__(self, config: Config, network: nn.Module, signature: Signature, fit: Fit) -> None:
        """Raises BadData when `against` is not a class column."""
        super().__init__(config, network, signature, fit)
        if config.against is not None and not signature.classes:
            found = signature.target.meaning if signature.target else "none"
            raise BadData.at(
                "task cluster", f"against {config.against!r} is {found}; it has to be a class, or left out"
            )
        self.shown: list[tuple[Tensor, ...]] = []

    @classmethod
    def targets_of(cls, config: Any) -> tuple[str, ...]:
        return () if config.against is None else (config.against,)

    def rows(self, batch: Batch) -> tuple[Tensor, Tensor]:
        number_B, distance_B = self.network.clusters(*batch.arguments)
        return distance_B, number_B

    def metrics(self) -> dict[str, Metric]:
        found: dict[str, Metric] = {"silhouette": Silhouette(), "clustered": MeanMetric()}
        return found | ({"rand_index": AdjustedRandScore()} if self.config.against else {})

    def measure(self, metrics: MetricCollection, output: Tensor, batch: Batch) -> None:
        real = batch.mask_B
        x_BD, number_B = joined(batch.arguments)[real], output[real]
        class_B = (batch.truth[real],) if self.config.against else ()
        # each metric takes the arguments of its own update()
        against = dict(zip(("target",), class_B, strict=False))
        metrics.update(
            x_BD=x_BD, number_B=number_B, value=(number_B >= 0).float(), preds=number_B, index=batch.index, **against
        )
        if self.trainer.testing and sum(len(one[0]) for one in self.shown) < SHOWN:
            self.shown.append((x_BD, number_B, *class_B))

    @property
    def predictor(self) -> prediction.Predictor:
        return prediction.Predictor()

    def figures(self) -> dict[str, Figure]:
        if not self.shown:
            return self.figures_of_network()
        x_ND, cluster_N, *class_N = (as_numpy(torch.cat(one)[:SHOWN]) for one in zip(*self.shown, strict=True))
        labels = {"cluster": cluster_N} | ({"class": class_N[0]} if class_N else {})
        found = {"clusters": clusters(x_ND, labels, self.signature.classes)} | self.figures_of_network()
        count = self.config.neighbour_map
        if count:
            first = {name: label_N[:count] for name, label_N in labels.items()}
            found["neighbour_map"] = clusters(neighbour_map(x_ND[:count], self.fit.seed), first, self.signature.classes)
        return found
