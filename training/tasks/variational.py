"""Variational auto-encoding of images: trained on the ELBO, with the likelihood estimated by importance sampling.

Source: Kingma & Welling 2014, arXiv 1312.6114; likelihood: Burda et al. 2016, arXiv 1509.00519, equation 8; pixels
are resampled from their intensities at each step (dynamic binarisation, Salakhutdinov & Murray 2008).
Axes: B rows, Z latent dimensions, S samples of a code; all likelihoods in nats.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from matplotlib.figure import Figure
from pydantic import BaseModel, Field
from torch import Tensor, nn
from torchmetrics import CatMetric, MeanSquaredError, Metric, MetricCollection

from millstream.tracking.dataset.signature import Signature
from millstream.tracking.figures.latent import latent
from millstream.tracking.figures.samples import samples
from millstream.training.config.fit import Fit
from millstream.training.feed.batch import Batch
from millstream.training.metrics.first_rows import FirstRows
from millstream.training.objectives.likelihood import bernoulli, kl_to_normal, log_likelihood
from millstream.training.predictions import variational as prediction
from millstream.training.task import Stage, Task
from millstream.training.tensors import as_numpy

GRID = 100
SHOWN = 10


class Config(BaseModel, frozen=True, extra="forbid"):
    colour: str | None = Field(
        None, description="class column that colours the figure of the codes; not used in training"
    )
    samples: int = Field(5_000, ge=1, description="importance samples per test image for its likelihood")
    images: int = Field(500, ge=1, description="test images whose likelihood is estimated, the first in stored order")


TINY = Config(colour="target", samples=5, images=3)


class Variational(Task):
    """Loss is the negative ELBO of log p(x); `test/nll` is the importance-sampled -log p(x)."""

    needs = ("encode", "decode", "latent")
    outputs: ClassVar = prediction.Predictor.outputs
    directions: ClassVar = {"nll": "min", "mse": "min"}
    generated: ClassVar = prediction.Predictor.generated

    def __init__(self, config: Config, network: nn.Module, signature: Signature, fit: Fit) -> None:
        super().__init__(config, network, signature, fit)
        self.nll = FirstMean(config.images)
        self.codes, self.colours = CatMetric(), CatMetric()
        self.first: Tensor | None = None

    @classmethod
    def targets_of(cls, config: Any) -> tuple[str, ...]:
        return () if config.colour is None else (config.colour,)

    def measures(self, stage: Stage) -> list[str]:
        return [*super().measures(stage), *(["nll"] if stage == "test" else [])]

    def rows(self, batch: Batch) -> tuple[Tensor, Any]:
        x = torch.bernoulli(batch.arguments[0].clamp(0, 1))
        mean_BZ, log_variance_BZ = self.network.encode(x)
        z_BZ = mean_BZ + torch.randn_like(mean_BZ) * (0.5 * log_variance_BZ).exp()
        likelihood_B = bernoulli(self.network.decode(z_BZ), x)
        return kl_to_normal(mean_BZ, log_variance_BZ) - likelihood_B, (x, mean_BZ)

    def metrics(self) -> dict[str, Metric]:
        return {"mse": MeanSquaredError()}

    def measure(self, metrics: MetricCollection, output: Any, batch: Batch) -> None:
        binary, mean_BZ = output
        real = batch.mask_B
        pixels = torch.sigmoid(self.network(batch.arguments[0]))
        metrics.update(pixels[real].flatten(), batch.arguments[0][real].flatten())
        if self.trainer.testing:
            self._look_closely(binary[real], mean_BZ[real], batch)

    def on_test_epoch_end(self) -> None:
        super().on_test_epoch_end()
        self.log("test/nll", self.nll.compute())

    @property
    def predictor(self) -> prediction.Predictor:
        return prediction.Predictor()

    @torch.no_grad()
    def figures(self) -> dict[str, Figure]:
        found = {
            "samples": samples(
                as_numpy(prediction.drawn(self.network, GRID, self.fit.seed)), title="decoded from the prior"
            )
        }
        # a collective: all ranks take part, also those without rows
        both = (as_numpy(torch.as_tensor(one.compute())) for one in (self.codes, self.colours))
        codes_NZ, colours_N = (np.atleast_1d(one) for one in both)
        if self.first is not None:
            # after a test the trainer moves the weights to the CPU, and the images stay where they were
            first = self.first.to(self.device)
            codes = self.network.encode(first)[0]
            again = torch.sigmoid(self.network.decode(codes))
            found["reconstructions"] = samples(
                as_numpy(torch.cat([first, again])), len(first), title="test images, and what their codes give"
            )
            if len(codes) > 1:
                found["interpolation"] = samples(
                    as_numpy(self._between(codes)), SHOWN, title="from one code to another"
                )
            found["latent"] = latent(codes_NZ, colours_N if self.config.colour else None, self.signature.classes)
        return found

    def _between(self, codes_BZ: Tensor) -> Tensor:
        shares = torch.linspace(0, 1, SHOWN, device=codes_BZ.device)[:, None]
        lines = [torch.lerp(codes_BZ[at], codes_BZ[at + 1], shares) for at in range(0, min(len(codes_BZ), 8) - 1, 2)]
        return torch.sigmoid(self.network.decode(torch.cat(lines)))

    def _look_closely(self, binary: Tensor, mean_BZ: Tensor, batch: Batch) -> None:
        if self.first is None:
            self.first = batch.arguments[0][batch.mask_B][:SHOWN].clone()
        self.codes.update(mean_BZ)
        if self.config.colour:
            self.colours.update(batch.truth[batch.mask_B])
        for x in binary[: self.nll.left]:
            self.nll.update(-log_likelihood(self.network, x[None], self.config.samples)[None], batch.index)


class FirstMean(FirstRows):
    """Mean over the first rows of a split."""

    def __init__(self, most: int) -> None:
        super().__init__(most, "values")

    @property
    def left(self) -> int:
        """Rows of this rank still to be measured."""
        return max(0, self.most - sum(map(len, self.index)))

    def update(self, value_B: Tensor, index: int) -> None:
        self.keep(index, value_B)

    def compute(self) -> Tensor:
        return self.first()[0].mean()
