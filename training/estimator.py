"""Base class of models fitted in one call (a forest, boosted trees) instead of a network.

An estimator is a module whose state is the serialized fitted model, in a format without code, so that it is
checkpointed, loaded, hashed, evaluated and served like a network.
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
    """A subclass in `training/networks/classical` implements `learn`, `scores`, `dump` and `restore`."""

    fitted: Any = None
    learns_target: ClassVar[bool] = True
    """Whether it is supervised; if not, it is fitted on the inputs alone."""
    by_pages: bool = False
    """Whether it reads the train split batch by batch, in as many passes as it needs, and never loads it whole."""
    by_ranks: ClassVar[bool] = False
    """Whether several ranks can fit it together, each reading its shard of the batches."""

    def learn(self, x_BD: NDArray[Any], y_B: NDArray[Any], weight_B: NDArray[np.float32]) -> None:
        """Fit on the whole train split."""
        raise NotImplementedError

    def learn_by_pages(self, batches: Iterable[Batch], folder: Path, place: Ranks) -> None:
        """Fit on the passes over `batches`, identical each time, and on the batches of the other ranks.

        `folder` is for temporary files.
        """
        raise NotImplementedError

    def scores(self, x_BD: NDArray[Any]) -> NDArray[Any]:
        """Log-probabilities (B, K) of categories, numeric values (B, D), or log-densities (B,) without a target."""
        raise NotImplementedError

    def dump(self) -> bytes:
        """The serialized model, without code; equal models have equal bytes."""
        raise NotImplementedError

    def restore(self, content: bytes) -> None:
        raise NotImplementedError

    def of_train(self) -> dict[str, float]:
        """Training metrics that fitting computes anyway, by name."""
        return {}

    def figures(self, signature: Signature) -> dict[str, Figure]:
        """Figures by name of the fitted parameters, for inputs with this signature."""
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
    """All inputs flattened and concatenated as (B, D) float32; categories are their integer codes."""
    return torch.cat([one.float().flatten(start_dim=1) for one in inputs], dim=1)


def flat(inputs: tuple[Tensor, ...]) -> NDArray[np.float32]:
    """`joined` as an array on the host."""
    return np.asarray(joined(inputs))


def width(signature: Signature) -> int:
    """D: the number of values of all inputs together."""
    return sum(math.prod(one.shape) for one in signature.inputs)


def column_names(signature: Signature) -> list[str]:
    """The D feature names: the column's name, with the index in a column that has several values."""
    found = []
    for field in signature.inputs:
        if len(field.columns) == math.prod(field.shape):
            found += [column.name for column in field.columns]
        else:
            found += [f"{field.name} {', '.join(map(str, at))}" for at in np.ndindex(*field.shape)]
    return found


def as_images(x_ND: NDArray[Any], signature: Signature) -> NDArray[Any] | None:
    """Rows (N, D) as images (N, C, H, W), or None where an image is not the only input."""
    if len(signature.inputs) != 1 or signature.inputs[0].meaning != "image":
        return None
    return x_ND.reshape(len(x_ND), *signature.inputs[0].shape)


def gains(shares_D: NDArray[Any], signature: Signature) -> dict[str, Figure]:
    """Figure of feature importance (gain): a map over the pixels of an image, else bars by feature name."""
    images = as_images(shares_D[None], signature)
    if images is not None:
        return {"importance": importance_map(images[0].sum(axis=0))}
    return {"importance": importance(shares_D, column_names(signature))}


def log(probability_BK: NDArray[Any]) -> NDArray[np.float32]:
    """Log-probabilities, clipped at the smallest positive normal float32."""
    lifted: NDArray[np.float32] = np.log(np.clip(probability_BK, np.finfo(np.float32).tiny, None)).astype(np.float32)
    return lifted
