"""One training: what is trained, on what, and where its state is kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch

from tracking import replay
from tracking.dataset import Dataset
from tracking.faults import BadData, WrongRecipe
from tracking.follower import Follower
from tracking.manifest import Manifest
from tracking.recipe import Located
from tracking.run import Run
from training import checkpoints
from training.build import Parts, parts_of
from training.data import Splits
from training.environment import enter
from training.estimator import Estimator
from training.exact import ByLane
from training.feed.order import default_lanes, own_lanes
from training.fit_config import Fit
from training.ranks import Ranks
from training.task import Task


@dataclass(frozen=True)
class Job:
    """A task with its network and the feeds of its dataset; none for an environment, which the task stands in."""

    located: Located
    run: Run | Follower
    parts: Parts
    task: Task
    splits: Splits | None
    place: Ranks = field(default_factory=Ranks)

    @classmethod
    def of(
        cls,
        located: Located,
        run: Run | Follower,
        dataset: Dataset | None,
        parts: Parts | None = None,
        place: Ranks | None = None,
    ) -> Job:
        """Raises WrongRecipe with the faults of the recipe's sections, or when it has no dataset and needs one."""
        parts, place = parts or parts_of(located), place or Ranks()
        if parts.fit.threads:
            torch.set_num_threads(parts.fit.threads)
        if located.recipe.environment is not None:
            if not place.is_alone:
                told = "an environment is stepped by one process; leave --devices and --nodes out"
                raise WrongRecipe.at(located.where("environment"), told)
            return cls(located, run, parts, enter(parts, located), None)
        if dataset is None:
            raise WrongRecipe.at(located.file, "a recipe with data: is trained on a dataset version; prepare it first")
        BadData.unless_empty(replay.faults(dataset.manifest))
        signature = parts.signature(dataset.manifest)
        task, splits = parts.build(signature), Splits(dataset, signature, parts.fit)
        if isinstance(task.network, Estimator) and not (place.is_alone or task.network.by_ranks):
            told = "this estimator is fitted at once, by one process; leave --devices and --nodes out"
            raise WrongRecipe.at(located.where("network"), told)
        if parts.fit.exact:
            lanes = parts.fit.lanes or default_lanes(parts.fit.batch_size)
            task.gradients = ByLane(task, own_lanes(place.rank, place.ranks, lanes, parts.fit.batch_size), lanes)
        job = cls(located, run, parts, task, splits, place)
        if parts.fit.watches and not job.has_valid:
            told = f"{', '.join(parts.fit.watches)}: looks at rows of valid, and the dataset has none; split some off"
            raise WrongRecipe.at(located.where("fit"), told)
        return job

    @property
    def fit(self) -> Fit:
        return self.parts.fit

    @property
    def folder(self) -> Path:
        return self.run.folder

    @property
    def best(self) -> Path:
        return self.folder / checkpoints.BEST

    @property
    def manifest(self) -> Manifest | None:
        return self.splits.dataset.manifest if self.splits else None

    @property
    def has_valid(self) -> bool:
        """Whether there is something to look at between the epochs."""
        return self.manifest is None or "valid" in self.manifest.splits

    @property
    def batches(self) -> int:
        """Batches of an epoch."""
        if self.manifest is None:
            return len(self.task.train_dataloader())
        return max(1, -(-self.manifest.splits["train"].rows // self.fit.batch_size))
