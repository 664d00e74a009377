"""One training job: its task, data source and checkpoint folder."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from millstream.tracking.dataset.manifest import Manifest
from millstream.tracking.dataset.version import Dataset
from millstream.tracking.errors import BadData, Fault, WrongRecipe
from millstream.tracking.recipe.schema import Located
from millstream.tracking.runs.model_logging import output_type
from millstream.tracking.runs.read_only_run import Follower
from millstream.tracking.runs.run import Run
from millstream.tracking.serving import replay
from millstream.training.assembly import preconditions
from millstream.training.assembly.build import Parts, parts_of, task_on
from millstream.training.assembly.data_source import DatasetSource, DataSource, source_of
from millstream.training.checkpoints import archive
from millstream.training.config.fit import Fit
from millstream.training.distributed.ranks import Ranks
from millstream.training.estimator_module import EstimatorModule
from millstream.training.feed.plan.batch_order import default_lanes, own_lanes
from millstream.training.optimization.lane_gradients import ByLane
from millstream.training.task import Task


def fitting_task(parts: Parts, manifest: Manifest, located: Located, *, test: bool = True) -> Task:
    """The task for a dataset. Raises WrongRecipe if they are incompatible, or a required split or metric is missing."""
    lacking = [
        Fault(where=located.where("data.steps"), message=f"{why}, and the dataset has none; split some off")
        for name, why in preconditions.splits(located, parts.fit, test=test).items()
        if name not in manifest.splits
    ]
    task = task_on(parts, parts.signature(manifest), located)
    of_metrics = preconditions.metric_faults(located, task, parts.fit, frozenset(manifest.splits))
    WrongRecipe.unless_empty([*lacking, *of_metrics, *preconditions.order_faults(located, parts.fit, manifest)])
    return task


def refuse_unfit(located: Located, dataset: Dataset | None, *, test: bool = True) -> None:
    """Raises WrongRecipe for what `Job.of` would refuse, before a run is created."""
    parts = parts_of(located)
    if located.recipe.environment is not None:
        task_on(parts, source_of(located, parts, None).signature, located)
    elif dataset is not None:
        fitting_task(parts, dataset.manifest, located, test=test)


@dataclass(frozen=True)
class Job:
    """A task with its network and data source."""

    located: Located
    run: Run | Follower
    parts: Parts
    task: Task
    source: DataSource
    place: Ranks = field(default_factory=Ranks)

    @classmethod
    def of(
        cls,
        located: Located,
        run: Run | Follower,
        dataset: Dataset | None,
        parts: Parts | None = None,
        place: Ranks | None = None,
        *,
        test: bool = True,
    ) -> Job:
        """Raises WrongRecipe with the faults of the recipe's sections, or for a missing or incompatible dataset; `test`
        is whether the test split will be used."""
        parts, place = parts or parts_of(located), place or Ranks()
        if threads := parts.fit.threads or _share_of_cores(place):
            torch.set_num_threads(threads)
        source = source_of(located, parts, dataset, place)
        if not (place.is_alone or source.by_ranks):
            message = "an environment is stepped by one process; leave --devices and --nodes out"
            raise WrongRecipe.at(located.where("environment"), message)
        if source.manifest is not None:
            BadData.unless_empty(replay.faults(source.manifest))
            task = fitting_task(parts, source.manifest, located, test=test)
        else:
            task = parts.build(source.signature)
        source.attach(task)
        _refuse_unknown_outputs(task)
        if isinstance(task.network, EstimatorModule) and not (place.is_alone or task.network.estimator.by_ranks):
            message = "this estimator is fitted at once, by one process; leave --devices and --nodes out"
            raise WrongRecipe.at(located.where("network"), message)
        if parts.fit.exact:
            lanes = parts.fit.lanes or default_lanes(parts.fit.batch_size)
            _refuse_inexact(task)
            own = own_lanes(place.rank, place.ranks, lanes, parts.fit.batch_size)
            task.gradients = ByLane(parts.fit.seed, own, lanes)
        return cls(located, run, parts, task, source, place)

    @property
    def fit(self) -> Fit:
        return self.parts.fit

    @property
    def folder(self) -> Path:
        return self.run.folder

    @property
    def best(self) -> Path:
        return self.folder / archive.BEST

    @property
    def rows(self) -> DatasetSource:
        """The dataset it is trained on. Raises WrongRecipe for an environment, which has no rows."""
        if not isinstance(self.source, DatasetSource):
            raise WrongRecipe.at(self.located.file, "learns in an environment, which has no rows of a dataset")
        return self.source


def _share_of_cores(place: Ranks) -> int | None:
    """Threads per rank when a host has several and OMP_NUM_THREADS is not set; None leaves it to torch."""
    if place.local_ranks == 1 or "OMP_NUM_THREADS" in os.environ:
        return None
    return max(1, len(os.sched_getaffinity(0)) // place.local_ranks)


def _refuse_unknown_outputs(task: Task) -> None:
    """Raises WrongRecipe for a type of output with which the model could not be logged after its training."""
    for name, kind in {**task.outputs, **task.generated}.items():
        try:
            output_type(kind)
        except KeyError:
            message = f"{type(task).__name__} declares the output {name} as {kind}, which is no type of MLflow"
            raise WrongRecipe.at("task", f"{message}; expected double, long, string or Array(double), say") from None


def _refuse_inexact(task: Task) -> None:
    """Raises WrongRecipe for a task that cannot be bit-identical at any number of ranks."""
    if isinstance(task.network, EstimatorModule):
        raise WrongRecipe.at("fit.exact", "an estimator is fitted at once, on one rank; leave it out")
    if not task.steps_by_rows:
        raise WrongRecipe.at("fit.exact", f"{type(task).__name__} steps in its own way; leave it out")
    normed = [name for name, module in task.network.named_modules() if isinstance(module, _BatchNorm)]
    if normed:
        message = f"{', '.join(normed[:3])} normalise over the batch, of which a lane is a part"
        raise WrongRecipe.at("fit.exact", f"{message}; take norm: layer or group")
