"""How Lightning trains in several processes: ranks that others have started, and that have found each other."""

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
    """Tells Lightning what we know: processes that are started by others, and have found each other."""

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
        """It is known already."""

    def global_rank(self) -> int:
        return self.place.rank

    def set_global_rank(self, rank: int) -> None:
        """It is known already."""

    def local_rank(self) -> int:
        return self.place.local_rank

    def node_rank(self) -> int:
        return self.place.rank // self.place.local_ranks


class Together(DDPStrategy):
    """Gradients are averaged over the ranks."""

    def _configure_launcher(self) -> None:
        """Nothing is launched. Lightning's launcher, which had nothing to do, would set the number of threads anew."""


class Unwrapped(Together):
    """Ranks whose gradients come together by themselves: see `training.optimization.lane_gradients`."""

    def configure_ddp(self) -> None:
        """Nothing wraps the task."""


def options_of(job: Job) -> dict[str, Any]:
    """What a Trainer is given for several ranks. Raises WrongRecipe for what torch has on GPUs alone."""
    fit, place = job.fit, job.place
    if fit.sync_batch_norm and not torch.cuda.is_available():
        raise WrongRecipe.at("fit.sync_batch_norm", "torch has it on GPUs alone; leave it out, or take norm: group")
    # a task that steps its networks in turn uses a part of them in each step
    average = partial(Together, find_unused_parameters=not job.task.steps_by_rows)
    return {
        "strategy": (Unwrapped if fit.exact else average)(
            cluster_environment=Placed(place), timeout=timedelta(seconds=fit.timeout_s)
        ),
        "devices": place.local_ranks,
        "num_nodes": place.nodes,
        "sync_batchnorm": fit.sync_batch_norm,
    }
