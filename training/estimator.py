"""A model that is fitted in one go (a forest, boosted trees), in the place of a network.

It is a module whose state is the bytes of the fitted model in a format without code, so that it is kept, loaded,
hashed, evaluated and served as every network is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn

from millstream.tracking.dataset.signature import Signature
from millstream.tracking.figures.importance import importance, importance_map
from millstream.training.distributed.ranks import Ranks
from millstream.training.feed.batch import Batch


class Estimator(nn.Module):
    """A subclass in `training/networks/classical` gives `learn`, `scores`, `dump` and `restore`."""

    fitted: Any = None
    learns_target: ClassVar[bool] = True
    """Whether it learns to tell a target, or something of the inputs alone."""
    by_pages: bool = False
    """Whether it reads the train split batch by batch, as often as it needs it, and never holds it whole."""
    by_ranks: ClassVar[bool] = False
    """Whether several processes can fit it together, each reading its share of the batches."""

    def learn(self, x_BD: NDArray[Any], y_B: NDArray[Any], weight_B: NDArray[np.float32]) -> None:
        """Fit on the whole train split."""
        raise NotImplementedError

    def learn_by_pages(self, batches: Iterable[Batch], folder: Path, place: Ranks) -> None:
        """Fit on what `batches` gives at each pass, the same each time, and on what the other ranks read.

        `folder` is for what is kept meanwhile.
        """
        raise NotImplementedError

    def scores(self, x_BD: NDArray[Any]) -> NDArray[Any]:
        """Log-probabilities (B, K) for a category, values (B, D) for a number, log-densities (B,) without a target."""
        raise NotImplementedError

    def dump(self) -> bytes:
        """The fitted model, the same bytes for the same model, holding no code."""
        raise NotImplementedError

    def restore(self, content: bytes) -> None:
        raise NotImplementedError

    def of_train(self) -> dict[str, float]:
        """Metrics of the rows that it was fitted on, where fitting gives them by itself."""
        return {}

    def figures(self, signature: Signature) -> dict[str, Figure]:
        """Pictures by name of what it has learned of inputs with this signature."""
        return {}

    def fit(self, inputs: tuple[Tensor, ...], target_B: Tensor | None, weight_B: Tensor) -> None:
        self.learn(flat(inputs), np.asarray(target_B), np.asarray(weight_B))

    def forward(self, *inputs: Tensor) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(self.scores(flat(inputs)), dtype=np.float32))

    def get_extra_state(self) -> Tensor:
        return torch.from_numpy(np.frombuffer(self.dump() if self.fitted is not None else b"", dtype=np.uint8).copy())

    def set_extra_state(self, state: Tensor) -> None:
        content = state.numpy().tobytes()
        if content:
            self.restore(content)


def joined(inputs: tuple[Tensor, ...]) -> Tensor:
    """All inputs side by side as (B, D) float32: images and vectors row by row, categories as their numbers."""
    return torch.cat([one.float().flatten(start_dim=1) for one in inputs], dim=1)


def flat(inputs: tuple[Tensor, ...]) -> NDArray[np.float32]:
    """The same on the host."""
    return np.asarray(joined(inputs))


def width(signature: Signature) -> int:
    """D: how many numbers all inputs have, side by side."""
    return sum(math.prod(one.shape) for one in signature.inputs)


def column_names(signature: Signature) -> list[str]:
    """A name for each of these numbers: its column's, with its place in a column that has many."""
    found = []
    for field in signature.inputs:
        if len(field.columns) == math.prod(field.shape):
            found += [column.name for column in field.columns]
        else:
            found += [f"{field.name} {', '.join(map(str, at))}" for at in np.ndindex(*field.shape)]
    return found


def pictures(x_ND: NDArray[Any], signature: Signature) -> NDArray[Any] | None:
    """Rows of such numbers as images (N, C, H, W), where an image is all that there is."""
    if len(signature.inputs) != 1 or signature.inputs[0].meaning != "image":
        return None
    return x_ND.reshape(len(x_ND), *signature.inputs[0].shape)


def gains(shares_D: NDArray[Any], signature: Signature) -> dict[str, Figure]:
    """What splits on each number of a row gain, as a picture: pixels of an image at their places, else by name."""
    images = pictures(shares_D[None], signature)
    if images is not None:
        return {"importance": importance_map(images[0].sum(axis=0))}
    return {"importance": importance(shares_D, column_names(signature))}


def log(chances_BK: NDArray[Any]) -> NDArray[np.float32]:
    """Logarithms of probabilities, with zeros lifted to the smallest that single precision tells apart."""
    lifted: NDArray[np.float32] = np.log(np.clip(chances_BK, np.finfo(np.float32).tiny, None)).astype(np.float32)
    return lifted
