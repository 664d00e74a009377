"""An estimator as a module of torch: it is checkpointed, loaded, hashed and evaluated like a network."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from millstream.training.estimator import Estimator


class EstimatorModule(nn.Module):
    """Its state is that of the estimator, `Estimator.dump`; tensors in and out."""

    def __init__(self, estimator: Estimator) -> None:
        super().__init__()
        self.estimator = estimator

    def forward(self, *inputs: Tensor) -> Tensor:
        return torch.from_numpy(self.estimator(*inputs))

    def clusters(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        number_B, distance_B = self.estimator.clusters(*inputs)  # type: ignore[attr-defined]
        return torch.from_numpy(number_B), torch.from_numpy(distance_B)

    def encode(self, *inputs: Tensor) -> Tensor:
        return torch.from_numpy(self.estimator.encode(*inputs))  # type: ignore[attr-defined]

    def decode(self, codes_BZ: Tensor) -> Tensor:
        return torch.from_numpy(self.estimator.decode(codes_BZ))  # type: ignore[attr-defined]

    def get_extra_state(self) -> Tensor:
        content = self.estimator.dump() if self.estimator.fitted is not None else b""
        return torch.from_numpy(np.frombuffer(content, dtype=np.uint8).copy())

    def set_extra_state(self, state: Tensor) -> None:
        content = state.numpy().tobytes()
        if content:
            self.estimator.restore(content)


def as_module(network: nn.Module | Estimator) -> nn.Module:
    """The network itself, or the module of an estimator."""
    return EstimatorModule(network) if isinstance(network, Estimator) else network


def joined(inputs: tuple[Tensor, ...]) -> Tensor:
    """All inputs flattened and concatenated as (B, D) float32, as in `estimator.flat`."""
    return torch.cat([one.float().flatten(start_dim=1) for one in inputs], dim=1)
