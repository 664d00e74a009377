"""The latent code of an image and the error of its reconstruction, and images decoded from the prior.

Axes: B rows, Z latent dimensions.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from millstream.training.predictions._predictor import Base, Columns
from millstream.training.tensors import as_numpy


class Predictor(Base):
    outputs: ClassVar = {"latent": "Array(double)", "reconstruction_error": "double"}
    generated: ClassVar = {"image": "Array(double)"}
    """Pixels of an image, flattened row by row."""

    def predict(self, network: Any, *inputs: Any) -> Columns:
        mean_BZ, _ = network.encode(inputs[0])
        error_B = (torch.sigmoid(network.decode(mean_BZ)) - inputs[0]).square().flatten(start_dim=1).mean(dim=1)
        return {"latent": list(as_numpy(mean_BZ.double())), "reconstruction_error": as_numpy(error_B.double())}

    def generate(self, network: Any, count: int, seed: int) -> Columns:
        return {"image": list(as_numpy(drawn(network, count, seed).flatten(start_dim=1).double()))}


@torch.no_grad()
def drawn(network: Any, count: int, seed: int) -> Tensor:
    """Images decoded from prior samples; these depend on the seed alone, on any device."""
    codes_BZ = torch.randn(count, network.latent, generator=torch.Generator().manual_seed(seed))
    return torch.sigmoid(network.decode(codes_BZ.to(next(network.parameters()).device)))
