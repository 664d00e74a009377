"""The discriminator's probability that an image is real, and images of the generator."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from millstream.training.predictions._predictor import Base, Columns
from millstream.training.tensors import as_numpy


class Predictor(Base):
    outputs: ClassVar = {"real": "double"}
    """The discriminator's probability that an image is real."""
    generated: ClassVar = {"image": "Array(double)"}
    """Pixels of an image, flattened row by row."""

    def predict(self, network: Any, *inputs: Any) -> Columns:
        return {"real": as_numpy(torch.sigmoid(network(inputs[0]).double()))}

    def generate(self, network: Any, count: int, seed: int) -> Columns:
        return {"image": list(as_numpy(drawn(network, count, seed).flatten(start_dim=1).double()))}


@torch.no_grad()
def drawn(network: Any, count: int, seed: int) -> Tensor:
    """Generated images; the noise depends on the seed alone, on any device."""
    noise = torch.randn(count, network.latent, generator=torch.Generator().manual_seed(seed))
    network.eval()
    made: Tensor = network.generator(noise.to(next(network.parameters()).device))
    return made
