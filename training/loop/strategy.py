"""Lightning's distributed strategy for ranks that were launched externally and have already met."""

from __future__ import annotations

import os
from datetime import timedelta
from functools import partial
from typing import Any

import torch
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from pytorch_lightning.strategies import DDPStrategy

from millstream.tracking.errors import WrongRecipe
from millstream.training.distributed.ranks import Ranks, here
from millstream.training.loop.job import Job


class Placed(ClusterEnvironment):
    """Cluster environment of externally launched processes, from `Ranks`."""

    def __init__(self, place: Ranks) -> None:
        super().__init__()
        self.place = place

    @property
    def creates_processes_externally(self) -> bool:
        return True

    @property
    def main_address(self) -> str:
        return os.environ["MASTER_ADDR"]

    @property
    def main_port(self) -> int:
        return int(os.environ["MASTER_PORT"])

    @staticmethod
    def detect() -> bool:
        return not here().is_alone

    def world_size(self) -> int:
        return self.place.ranks

    def set_world_size(self, size: int) -> None:
        """Does nothing: `place` has the world size."""

    def global_rank(self) -> int:
        return self.place.rank

    def set_global_rank(self, rank: int) -> None:
        """Does nothing: `place` has the rank."""

    def local_rank(self) -> int:
        return self.place.local_rank

    def node_rank(self) -> int:
        return self.place.rank // self.place.local_ranks


class Together(DDPStrategy):
    """DDP: gradients are averaged over the ranks."""

    def _configure_launcher(self) -> None:
        """Launches nothing. Lightning's launcher would have nothing to start, but would reset the number of threads."""


class Unwrapped(Together):
    """DDP without its gradient reduction, which `training.optimization.lane_gradients` replaces."""

    def configure_ddp(self) -> None:
        """Does not wrap the task."""


def options_of(job: Job) -> dict[str, Any]:
    """Trainer options for several ranks. Raises WrongRecipe for `sync_batch_norm` without a GPU."""
    fit, place = job.fit, job.place
    if fit.sync_batch_norm and not torch.cuda.is_available():
        raise WrongRecipe.at("fit.sync_batch_norm", "torch has it on GPUs alone; leave it out, or take norm: group")
    # a task that alternates between its networks uses only some of them in each step
    average = partial(Together, find_unused_parameters=not job.task.steps_by_rows)
    return {
        "strategy": (Unwrapped if fit.exact else average)(
            cluster_environment=Placed(place), timeout=timedelta(seconds=fit.timeout_s)
        ),
        "devices": place.local_ranks,
        "num_nodes": place.nodes,
        "sync_batchnorm": fit.sync_batch_norm,
    }
