"""Adversarial training of a generator and a discriminator, each with its own optimizer.

Source: Goodfellow et al. 2014, arXiv 1406.2661, Algorithm 1 with one step each, and the non-saturating generator loss
(section 3).
Axes: B rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any, ClassVar

import torch
from matplotlib.figure import Figure
from pydantic import BaseModel, Field
from torch import Tensor
from torchmetrics import MeanMetric, Metric, MetricCollection

from millstream.tracking.figures.samples import samples
from millstream.training.feed.batch import Batch
from millstream.training.objectives.adversarial import fooling_loss, made_loss, real_loss
from millstream.training.optimization.optimizer_step import Update
from millstream.training.predictions import adversarial as prediction
from millstream.training.task import Task
from millstream.training.tensors import as_numpy

GRID = 100


class Config(BaseModel, frozen=True, extra="forbid"):
    discriminator_rate: float = Field(
        1.0, gt=0, description="learning rate of the discriminator, as a multiple of the generator's"
    )
    discriminator_steps: int = Field(
        1, ge=1, description="discriminator steps per generator step, each on its own batch"
    )
    smoothing: float = Field(
        0.1, ge=0, lt=1, description="label smoothing: real images have the target 1 - this (Salimans et al. 2016)"
    )


class Adversarial(Task):
    """`accuracy` of the discriminator on real and generated images; .5 is chance level."""

    outputs: ClassVar = prediction.Predictor.outputs
    directions: ClassVar = {"accuracy": "max"}
    steps_by_rows: ClassVar = False
    needs = ("generator", "discriminator", "latent")
    generated: ClassVar = prediction.Predictor.generated

    @classmethod
    def targets_of(cls, config: Any) -> tuple[str, ...]:
        return ()

    @classmethod
    def updates_per_batch(cls, config: Any) -> Mapping[str, Fraction]:
        return {"generator": Fraction(1, config.discriminator_steps), "discriminator": Fraction(1)}

    def optimizer_of(self, name: str, steps: int, *, share: float = 1.0) -> Any:
        if name == "discriminator":
            share *= self.config.discriminator_rate
        return super().optimizer_of(name, steps, share=share)

    def updates(self, batch: Batch) -> Iterator[Update]:
        """A discriminator step on the batch's images, and a generator step when it is due.

        Both steps of a batch use the same noise.
        """
        made = self._made(len(batch.mask_B))

        def discriminator_losses() -> Iterator[Tensor]:
            real_loss_B = real_loss(self.network(batch.arguments[0]), self.config.smoothing)
            yield batch.mean(real_loss_B + made_loss(self.network(made.detach())))

        def fooled() -> Iterator[Tensor]:
            yield batch.mean(fooling_loss(self.network(made)))

        yield Update("discriminator", discriminator_losses, "train/loss")
        if self.due("generator", batch):
            yield Update("generator", fooled, "train/generator_loss")

    def rows(self, batch: Batch) -> tuple[Tensor, Any]:
        real_B, made_B = self.network(batch.arguments[0]), self.network(self._made(len(batch.mask_B)))
        return real_loss(real_B, 0.0) + made_loss(made_B), (real_B, made_B)

    def metrics(self) -> dict[str, Metric]:
        return {"accuracy": MeanMetric()}

    def measure(self, metrics: MetricCollection, output: Any, batch: Batch) -> None:
        real_B, made_B = output
        right_B = torch.cat([real_B > 0, made_B < 0])
        metrics.update(right_B[torch.cat([batch.mask_B, batch.mask_B])].float())

    @property
    def predictor(self) -> prediction.Predictor:
        return prediction.Predictor()

    def figures(self) -> dict[str, Figure]:
        return {
            "samples": samples(as_numpy(prediction.drawn(self.network, GRID, self.fit.seed)), title="made of noise")
        }

    def _made(self, count: int) -> Tensor:
        made: Tensor = self.network.generator(torch.randn(count, self.network.latent, device=self.device))
        return made
