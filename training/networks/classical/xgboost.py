"""Gradient-boosted trees, by XGBoost.

Source: Chen & Guestrin 2016, arXiv 1603.02754; section 4.3 for out-of-core training from blocks on disk.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import xgboost
from numpy.typing import NDArray
from pydantic import BaseModel, Field
from xgboost.collective import CommunicatorContext
from xgboost.tracker import RabitTracker

from millstream.tracking.dataset.signature import Signature
from millstream.training.estimator import Estimator, flat, gains, log

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from millstream.training.distributed.ranks import Ranks
    from millstream.training.feed.batch import Batch

BINARY = 2
PAGE_ROWS = 1 << 16
"""Rows per page on disk; a few pages are in memory at a time."""


class Config(BaseModel, frozen=True, extra="forbid"):
    rounds: int = Field(200, ge=1, description="boosting rounds (one tree per class and round)")
    depth: int = Field(6, ge=1, description="maximum depth of a tree")
    rate: float = Field(0.1, gt=0, le=1, description="learning rate (shrinkage of each tree)")
    child_weight: float = Field(1.0, ge=0, description="minimum sum of hessians in a leaf")
    rows: float = Field(1.0, gt=0, le=1, description="fraction of rows sampled for each tree")
    columns: float = Field(1.0, gt=0, le=1, description="fraction of columns sampled for each tree")
    penalty: float = Field(1.0, ge=0, description="L2 penalty on leaf values")
    seed: int = Field(0, ge=0, description="seed of the row and column samples")
    external: bool = Field(
        False, description="keep the training split in pages on disk, when it does not fit in memory"
    )


TINY = Config(rounds=5, depth=3)


def build(config: Config, signature: Signature) -> Estimator:
    # the order is that of `training.estimator.flat`: input by input, column by column
    kinds = [kind for one in signature.inputs for kind in _kinds(one.meaning, int(np.prod(one.shape)))]
    return XGBoost(config, len(signature.classes), kinds)


class XGBoost(Estimator):
    """Gradient-boosted trees that split categories as sets of values, not as ordered numbers.

    Ranks sum the histograms of their rows, so that all build the same trees; the number of ranks changes the order of
    the float additions, and so possibly the trees.
    """

    by_ranks = True

    def __init__(self, config: Config, classes: int, kinds: list[str]) -> None:
        super().__init__()
        self.config = config
        self.classes = classes
        self.kinds = kinds
        self.by_pages = config.external

    def learn(self, x_BD: NDArray[Any], y_B: NDArray[Any], weight_B: NDArray[np.float32]) -> None:
        # stores bins alone; the trees are the same as from the raw numbers
        data = xgboost.QuantileDMatrix(
            x_BD, label=y_B, weight=weight_B, feature_types=self.kinds, enable_categorical=True
        )
        self.fitted = xgboost.train(self._settings(), data, num_boost_round=self.config.rounds)

    def learn_by_pages(self, batches: Iterable[Batch], folder: Path, place: Ranks) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix="pages-", dir=folder) as kept, _met(place):
            if self.config.external:
                pages = _Pages(batches, self.kinds, f"{kept}/page")
                data = xgboost.ExtMemQuantileDMatrix(pages, enable_categorical=True)
            else:
                data = xgboost.QuantileDMatrix(_Pages(batches, self.kinds, None), enable_categorical=True)
            self.fitted = xgboost.train(self._settings(), data, num_boost_round=self.config.rounds)
            del data  # it removes its own files, and warns if they were removed with their folder

    def scores(self, x_BD: NDArray[Any]) -> NDArray[Any]:
        rows = xgboost.DMatrix(x_BD, feature_types=self.kinds, enable_categorical=True)
        found = self.fitted.predict(rows)
        if not self.classes:
            return np.asarray(found).reshape(len(x_BD), -1)
        return log(np.stack([1 - found, found], axis=1) if self.classes == BINARY else found)

    def figures(self, signature: Signature) -> dict[str, Figure]:
        gain_of = self.fitted.get_score(importance_type="total_gain")
        gains_D = np.array([gain_of.get(f"f{at}", 0.0) for at in range(len(self.kinds))])
        return gains(gains_D / max(gains_D.sum(), np.finfo(np.float64).tiny), signature)

    def dump(self) -> bytes:
        return bytes(self.fitted.save_raw("ubj"))

    def restore(self, content: bytes) -> None:
        self.fitted = xgboost.Booster(model_file=bytearray(content))

    def _settings(self) -> dict[str, Any]:
        config = self.config
        return _objective(self.classes) | {
            "max_depth": config.depth,
            "eta": config.rate,
            "min_child_weight": config.child_weight,
            "subsample": config.rows,
            "colsample_bytree": config.columns,
            "lambda": config.penalty,
            "seed": config.seed,
            "tree_method": "hist",
        }


@contextmanager
def _met(place: Ranks) -> Iterator[None]:
    """Connects the ranks by XGBoost's communicator inside the block; the tracker runs on the host of rank 0."""
    if place.is_alone:
        yield
        return
    tracker, words = None, ""
    if place.is_first:
        tracker = RabitTracker(place.ranks, socket.gethostbyname(os.environ["MASTER_ADDR"]))
        tracker.start()
        words = json.dumps(tracker.worker_args())
    with CommunicatorContext(**json.loads(place.gather(words)[0])):
        yield
    if tracker is not None:
        tracker.wait_for()


class _Pages(xgboost.DataIter):  # type: ignore[misc,unused-ignore]  # it has no types
    """Data iterator that collects the rows of batches into pages of at least `PAGE_ROWS` rows."""

    def __init__(self, batches: Iterable[Batch], kinds: list[str], kept: str | None) -> None:
        super().__init__(cache_prefix=kept)
        self.batches, self.kinds, self.left = batches, kinds, iter(batches)

    def reset(self) -> None:
        self.left = iter(self.batches)

    def next(self, input_data: Callable[..., Any]) -> bool:
        """Whether there was another page; the name is XGBoost's."""
        page: list[Batch] = []
        rows = 0
        while rows < PAGE_ROWS and (batch := next(self.left, None)) is not None:
            page.append(batch)
            rows += len(batch.mask_B)
        if not page:
            return False
        there_B = np.concatenate([np.asarray(one.mask_B) for one in page])
        x_BD, y_B, weight_B = (
            np.concatenate([np.asarray(read(one)) for one in page])[there_B]
            for read in (lambda one: flat(one.arguments), lambda one: one.truth, lambda one: one.weight_B)
        )
        input_data(data=x_BD, label=y_B, weight=weight_B, feature_types=self.kinds)
        return True


def _kinds(meaning: str, width: int) -> list[str]:
    return (["c"] if meaning == "category" else ["q"]) * width


def _objective(classes: int) -> dict[str, Any]:
    if not classes:
        return {"objective": "reg:squarederror"}
    if classes == BINARY:
        return {"objective": "binary:logistic"}
    return {"objective": "multi:softprob", "num_class": classes}
