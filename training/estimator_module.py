"""An estimator as a module of torch: it is checkpointed, loaded, hashed and evaluated like a network."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from millstream.training.estimator import Estimator
from millstream.training.tensors import as_numpy


class EstimatorModule(nn.Module):
    """Its state is that of the estimator, `Estimator.dump`; tensors in and out.

    The estimator computes on the host; what it returns is on the device of the inputs.
    """

    def __init__(self, estimator: Estimator) -> None:
        super().__init__()
        self.estimator = estimator

    def forward(self, *inputs: Tensor) -> Tensor:
        return _on_device_of(inputs[0], self.estimator(*map(as_numpy, inputs)))

    def clusters(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        estimator: Any = self.estimator
        number_B, distance_B = estimator.clusters(*map(as_numpy, inputs))
        return _on_device_of(inputs[0], number_B), _on_device_of(inputs[0], distance_B)

    def encode(self, *inputs: Tensor) -> Tensor:
        estimator: Any = self.estimator
        return _on_device_of(inputs[0], estimator.encode(*map(as_numpy, inputs)))

    def decode(self, codes_BZ: Tensor) -> Tensor:
        estimator: Any = self.estimator
        return _on_device_of(codes_BZ, estimator.decode(as_numpy(codes_BZ)))

    def get_extra_state(self) -> Tensor:
        content = self.estimator.dump() if self.estimator.fitted is not None else b""
        return torch.from_numpy(np.frombuffer(content, dtype=np.uint8).copy())

    def set_extra_state(self, state: Tensor) -> None:
        content = as_numpy(state).tobytes()
        if content:
            self.estimator.restore(content)


def _on_device_of(given: Tensor, found: NDArray[Any]) -> Tensor:
    return torch.from_numpy(found).to(given.device)


def as_module(network: nn.Module | Estimator) -> nn.Module:
    """The network itself, or the module of an estimator."""
    return EstimatorModule(network) if isinstance(network, Estimator) else network


def joined(inputs: tuple[Tensor, ...]) -> Tensor:
    """All inputs flattened and concatenated as (B, D) float32, as in `estimator.flat`."""
    return torch.cat([one.float().flatten(start_dim=1) for one in inputs], dim=1)
