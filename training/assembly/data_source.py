"""Data sources of a run: a dataset version, or an environment."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Protocol

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytorch_lightning as lightning

from millstream.tracking.dataset.manifest import Manifest
from millstream.tracking.dataset.signature import Signature
from millstream.tracking.dataset.version import Dataset
from millstream.tracking.dataset.windows import SERIES, Windows
from millstream.tracking.errors import WrongRecipe
from millstream.tracking.inspection import page
from millstream.tracking.recipe.schema import Located
from millstream.tracking.runs.model_logging import is_missing
from millstream.tracking.runs.read_only_run import Follower
from millstream.tracking.runs.run import Run
from millstream.tracking.serving import replay
from millstream.training.assembly import validate
from millstream.training.assembly.build import Parts
from millstream.training.config.fit import Fit
from millstream.training.distributed.ranks import Ranks
from millstream.training.environments._protocol import Environment
from millstream.training.feed.feed import Feed
from millstream.training.rl.rounds import Rounds

EXAMPLES = 2
LOOKED_AT = 32
"""Rows from which those of the example are chosen."""


class Loader(Protocol):
    """Batches (or rounds) of one stage, with a resumable position."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Any]: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class DataSource(lightning.LightningDataModule, ABC):
    """Signature, manifest and loaders of the data a task is trained on."""

    signature: Signature
    manifest: Manifest | None = None
    """Fitted preparation, by which a model reads raw rows; None for an environment."""
    by_ranks: ClassVar[bool]
    """Whether several ranks can share it."""

    @property
    @abstractmethod
    def identity(self) -> dict[str, str]:
        """Facts that must be equal in a run and its checkpoint."""

    @property
    def version(self) -> str | None:
        """The dataset version, if the source is a dataset."""
        return self.manifest.version if self.manifest else None

    @property
    @abstractmethod
    def has_valid(self) -> bool:
        """Whether the `valid` stage exists."""

    @property
    def batches(self) -> int:
        """Batches per epoch."""
        return len(self.loader("train"))

    @abstractmethod
    def loader(self, stage: str) -> Loader:
        """The loader of `train`, `valid` or `test` for training, created once."""

    @abstractmethod
    def in_order(self, stage: str) -> Loader:
        """A new unshuffled loader of a stage, for evaluation."""

    @abstractmethod
    def count(self, stage: str) -> int:
        """Number of rows (or episodes) of a stage."""

    @abstractmethod
    def example(self) -> pd.DataFrame:
        """A few raw rows as model input examples."""

    def attach(self, task: Any) -> None:
        """Pass a task what it needs in addition to the loaders."""

    def log(self, run: Run | Follower) -> None:
        """Log the data source to a run."""

    def train_dataloader(self) -> Loader:
        return self.loader("train")

    def val_dataloader(self) -> Loader:
        return self.loader("valid")

    def test_dataloader(self) -> Loader:
        return self.loader("test")


class DatasetSource(DataSource):
    """One feed per split, with this rank's lanes; `train` is shuffled, `valid` and `test` are in stored order."""

    by_ranks: ClassVar = True

    def __init__(self, dataset: Dataset, signature: Signature, fit: Fit, place: Ranks | None = None) -> None:
        super().__init__()
        self.dataset, self.signature, self.fit, self.place = dataset, signature, fit, place or Ranks()
        self.manifest = dataset.manifest
        self._feeds: dict[str, Feed] = {}

    @property
    def identity(self) -> dict[str, str]:
        return {"dataset version": self.dataset.manifest.version}

    @property
    def has_valid(self) -> bool:
        return "valid" in self.dataset.manifest.splits

    def loader(self, stage: str) -> Feed:
        if stage not in self._feeds:
            self._feeds[stage] = self._make(stage, shuffle=stage == "train")
        return self._feeds[stage]

    def in_order(self, stage: str) -> Feed:
        return self._make(stage, shuffle=False)

    def count(self, stage: str) -> int:
        return self.dataset.manifest.splits[stage].rows

    def example(self) -> pd.DataFrame:
        shard = self.dataset.verified(self.dataset.shards("train")[0])
        batch = next(pq.ParquetFile(shard).iter_batches(batch_size=LOOKED_AT))
        raw = replay.restore(self._windows(batch.to_pandas()), self.dataset.manifest)
        # rows without missing values first
        gaps = raw.map(lambda value: is_missing(value)).any(axis=1)
        return raw.loc[gaps.sort_values(kind="stable").index[:EXAMPLES]]

    def _windows(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The first window of each block of time steps; other rows unchanged."""
        windows = Windows.of(self.dataset.manifest.steps)
        if windows is None:
            return rows
        column = self.dataset.manifest.column(SERIES)
        length = windows.look_back * np.dtype(column.dtype).itemsize * math.prod(column.shape[1:])
        return rows.assign(**{SERIES: [value[:length] for value in rows[SERIES]]})

    def log(self, run: Run | Follower) -> None:
        run.dataset(self.dataset.manifest, self.dataset.folder)
        if isinstance(run, Run):
            run.text("dataset.html", page.logged(self.dataset))

    def _make(self, split: str, *, shuffle: bool) -> Feed:
        rank, ranks = self.place.rank, self.place.ranks
        whole = (self.dataset, split, self.signature, self.fit)
        return Feed(*whole, rank=rank, ranks=ranks, shuffle=shuffle, shared=ranks > 1)


class EnvironmentSource(DataSource):
    """Rounds of acting and learning, and episodes of validation and test, in an environment."""

    by_ranks: ClassVar = False

    def __init__(self, environment: Environment, config: Any, rounds: Mapping[str, int]) -> None:
        """Raises WrongRecipe for an environment whose spaces cannot be read."""
        super().__init__()
        self.environment, self.config = environment, config
        self.signature = environment.signature(config)
        self._rounds = {stage: Rounds(count) for stage, count in rounds.items()}

    @property
    def identity(self) -> dict[str, str]:
        return self.environment.identity(self.config)

    @property
    def has_valid(self) -> bool:
        return True

    def loader(self, stage: str) -> Rounds:
        return self._rounds[stage]

    def in_order(self, stage: str) -> Rounds:
        return Rounds(self.count(stage))

    def count(self, stage: str) -> int:
        return len(self._rounds[stage])

    def example(self) -> pd.DataFrame:
        columns = [column for field in self.signature.inputs for column in field.columns]
        zeros = {
            column.name: np.zeros(column.shape, column.dtype).tobytes() if column.layout == "tensor" else 0.0
            for column in columns
        }
        return pd.DataFrame([zeros] * EXAMPLES)

    def attach(self, task: Any) -> None:
        task.enter(self.environment, self.config)


def source_of(
    located: Located,
    parts: Parts,
    dataset: Dataset | None,
    place: Ranks | None = None,
    signature: Signature | None = None,
) -> DataSource:
    """The data source of a recipe's task; `signature` is that of a trained model, by which its dataset is read.

    Raises WrongRecipe with the faults of the environment section, or for a recipe with data and no dataset.
    """
    if located.recipe.environment is not None:
        part, faults = validate.part_config("millstream.training.environments", located, "environment")
        if part is None:
            raise WrongRecipe(*faults)
        return EnvironmentSource(*part, parts.task.rounds(parts.task_config, parts.fit))
    if dataset is None:
        raise WrongRecipe.at(located.file, "a recipe with data: is trained on a dataset version; prepare it first")
    return DatasetSource(dataset, signature or parts.signature(dataset.manifest), parts.fit, place)
