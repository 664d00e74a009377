"""Base class of models fitted in one call (a forest, boosted trees) instead of a network, without torch.

Its state is the serialized fitted model, in a format without code. In training it is wrapped in an
`EstimatorModule`; a registered model predicts with the estimator alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from millstream.tracking.dataset.signature import Signature

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from millstream.training.distributed.ranks import Ranks
    from millstream.training.feed.batch import Batch


class Estimator:
    """A subclass in `training/networks/classical` implements `learn`, `scores`, `dump` and `restore`.

    For the task `cluster` it has `clusters(*inputs)`, for `reduce` it has `encode(*inputs)` and `decode(codes_BZ)`, of
    arrays.
    """

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

    def fit(self, inputs: Sequence[ArrayLike], target_B: ArrayLike | None, weight_B: ArrayLike) -> None:
        self.learn(flat(inputs), np.asarray(target_B), np.asarray(weight_B))

    def __call__(self, *inputs: ArrayLike) -> NDArray[np.float32]:
        """`scores` of the inputs, in the precision of a network's output."""
        return np.ascontiguousarray(self.scores(flat(inputs)), dtype=np.float32)


def flat(inputs: Sequence[ArrayLike]) -> NDArray[np.float32]:
    """All inputs flattened and concatenated as (B, D) float32; categories are their integer codes."""
    arrays = [np.asarray(one, dtype=np.float32) for one in inputs]
    return np.concatenate([one.reshape(len(one), -1) for one in arrays], axis=1)


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
    # here, since a registered model predicts without matplotlib
    from millstream.tracking.figures.importance import importance, importance_map

    images = as_images(shares_D[None], signature)
    if images is not None:
        return {"importance": importance_map(images[0].sum(axis=0))}
    return {"importance": importance(shares_D, column_names(signature))}


def log(probability_BK: NDArray[Any]) -> NDArray[np.float32]:
    """Log-probabilities, clipped at the smallest positive normal float32."""
    lifted: NDArray[np.float32] = np.log(np.clip(probability_BK, np.finfo(np.float32).tiny, None)).astype(np.float32)
    return lifted
