"""A model that is fitted in one go (a forest, boosted trees), in the place of a network.

It is a module whose state is the bytes of the fitted model in a format without code, so that it is kept, loaded,
hashed, evaluated and served as every network is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


class Estimator(nn.Module):
    """A subclass in `training/networks/classical` gives `learn`, `scores`, `dump` and `restore`."""

    fitted: Any = None

    def learn(self, x_BD: NDArray[Any], y_B: NDArray[Any], weight_B: NDArray[np.float32]) -> None:
        """Fit on the whole train split."""
        raise NotImplementedError

    def scores(self, x_BD: NDArray[Any]) -> NDArray[Any]:
        """Log-probabilities (B, K) for a category, values (B, D) for a number."""
        raise NotImplementedError

    def dump(self) -> bytes:
        """The fitted model, the same bytes for the same model, holding no code."""
        raise NotImplementedError

    def restore(self, content: bytes) -> None:
        raise NotImplementedError

    def fit(self, inputs: tuple[Tensor, ...], target_B: Tensor, weight_B: Tensor) -> None:
        self.learn(flat(inputs), np.asarray(target_B), np.asarray(weight_B))

    def forward(self, *inputs: Tensor) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(self.scores(flat(inputs)), dtype=np.float32))

    def get_extra_state(self) -> Tensor:
        return torch.from_numpy(np.frombuffer(self.dump() if self.fitted is not None else b"", dtype=np.uint8).copy())

    def set_extra_state(self, state: Tensor) -> None:
        content = state.numpy().tobytes()
        if content:
            self.restore(content)


def flat(inputs: tuple[Tensor, ...]) -> NDArray[np.float32]:
    """All inputs side by side as (B, D) float32: images and vectors row by row, categories as their numbers."""
    rows = [np.asarray(one, np.float32).reshape(len(one), -1) for one in inputs]
    return np.concatenate(rows, axis=1)


def log(chances_BK: NDArray[Any]) -> NDArray[np.float32]:
    """Logarithms of probabilities, with zeros lifted to the smallest that single precision tells apart."""
    lifted: NDArray[np.float32] = np.log(np.clip(chances_BK, np.finfo(np.float32).tiny, None)).astype(np.float32)
    return lifted
