"""Two networks against each other, each with an optimizer of its own, in one task.

Source: Goodfellow et al. 2014, arXiv 1406.2661, Algorithm 1 with one step each, and the generator's loss that does not
saturate (section 3).
Axes: B rows.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from pydantic import BaseModel, Field
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import MeanMetric, Metric, MetricCollection

from tracking.figures.samples import samples
from tracking.manifest import Signature
from training.feed.batch import Batch
from training.fit_config import Fit
from training.task import Task, as_numpy

GRID = 100


class Config(BaseModel, frozen=True, extra="forbid"):
    discriminator_rate: float = Field(
        1.0, gt=0, description="the discriminator's learning rate, as a share of the generator's"
    )
    smoothing: float = Field(0.1, ge=0, lt=1, description="real images count as 1 - this (Salimans et al. 2016)")


class Adversarial(Task):
    """`accuracy` is how often the discriminator tells real from made; at .5 it can do no better than guess."""

    outputs: ClassVar = {"real": "double"}
    """The discriminator's probability that an image is a real one."""

    def __init__(self, config: Config, network: nn.Module, signature: Signature, fit: Fit) -> None:
        super().__init__(config, network, signature, fit)
        self.automatic_optimization = False

    @classmethod
    def target_of(cls, config: Any) -> str | None:
        return None

    def configure_optimizers(self) -> Any:
        share = self.config.discriminator_rate
        slower = self.fit.optimizer.model_copy(update={"lr": self.fit.optimizer.lr * share})
        return [
            self.fit.optimizer.build(self.network.generator.parameters()),
            slower.build(self.network.discriminator.parameters()),
        ]

    def training_step(self, batch: Batch, index: int) -> None:
        """One step of the discriminator, then one of the generator, on the same noise."""
        optimizers: Any = self.optimizers()
        generator_steps, discriminator_steps = optimizers
        made = self._made(len(batch.mask_B))
        real_loss_B = real_loss(self.network(batch.inputs[0]), self.config.smoothing)
        discriminator_loss = batch.mean(real_loss_B + made_loss(self.network(made.detach())))
        discriminator_steps.zero_grad()
        self.manual_backward(discriminator_loss)
        discriminator_steps.step()

        generator_loss = batch.mean(fooling_loss(self.network(made)))
        generator_steps.zero_grad()
        self.manual_backward(generator_loss)
        generator_steps.step()
        self.log("train/loss", discriminator_loss.detach())
        self.log("train/generator_loss", generator_loss.detach())

    def rows(self, batch: Batch) -> tuple[Tensor, Any]:
        real_B, made_B = self.network(batch.inputs[0]), self.network(self._made(len(batch.mask_B)))
        return real_loss(real_B, 0.0) + made_loss(made_B), (real_B, made_B)

    def metrics(self) -> dict[str, Metric]:
        return {"accuracy": MeanMetric()}

    def measure(self, metrics: MetricCollection, output: Any, batch: Batch) -> None:
        real_B, made_B = output
        told_B = torch.cat([real_B > 0, made_B < 0])
        metrics.update(told_B[torch.cat([batch.mask_B, batch.mask_B])].float())

    def predict(self, *inputs: Tensor) -> dict[str, NDArray[Any] | list[Any]]:
        return {"real": as_numpy(torch.sigmoid(self.network(inputs[0]).double()))}

    @torch.no_grad()
    def figures(self) -> dict[str, Figure]:
        drawn = torch.randn(GRID, self.network.latent, generator=torch.Generator().manual_seed(self.fit.seed))
        self.network.eval()
        return {"samples": samples(as_numpy(self.network.generator(drawn.to(self.device))), title="made of noise")}

    def _made(self, count: int) -> Tensor:
        made: Tensor = self.network.generator(torch.randn(count, self.network.latent, device=self.device))
        return made


def real_loss(logits_B: Tensor, smoothing: float) -> Tensor:
    """-(1 - s) log D(x) - s log(1 - D(x)), (B,)."""
    return functional.binary_cross_entropy_with_logits(
        logits_B, torch.full_like(logits_B, 1 - smoothing), reduction="none"
    )


def made_loss(logits_B: Tensor) -> Tensor:
    """-log(1 - D(G(z))), (B,)."""
    return functional.softplus(logits_B)


def fooling_loss(logits_B: Tensor) -> Tensor:
    """-log D(G(z)), (B,): what the generator makes small."""
    return functional.softplus(-logits_B)
