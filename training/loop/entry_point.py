"""Entry point of training in one or several processes: launches ranks, or trains as one."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from typing import Any

from millstream.tracking.dataset.version import Dataset
from millstream.tracking.errors import WrongRecipe
from millstream.tracking.recipe.schema import Located
from millstream.tracking.runs.read_only_run import Follower, described
from millstream.tracking.runs.run import Run
from millstream.tracking.settings import Settings
from millstream.training.assembly.build import parts_of
from millstream.training.distributed.deduplicate_errors import report_once
from millstream.training.distributed.launch import launch
from millstream.training.distributed.ranks import OWN_STORE, Ranks, here, misses_returning_hosts, restarts
from millstream.training.feed.plan.batch_order import default_lanes, own_lanes
from millstream.training.loop.train import Trained, train

LOOK_AGAIN_S = 1.0
"""Interval at which rank 0 reports to the others whether the run is open."""

Start = Callable[[list[str], int], tuple[Any, int]]
"""Runs a `millstream` command in a number of processes; returns rank 0's answer and exit code."""


def needs_launch(devices: int, nodes: int) -> bool:
    """Whether this process must launch the ranks instead of being one.

    Raises WrongRecipe for several nodes, whose processes must be started from outside, and for numbers that differ from
    those this process was started with.
    """
    place = here()
    if place.is_alone and nodes > 1:
        message = (
            f"start them on each node: torchrun --nnodes {nodes} --nproc-per-node {devices} -m millstream train ..."
        )
        raise WrongRecipe.at(f"--nodes {nodes}", f"{message}, or srun millstream train ... in SLURM")
    if not place.is_alone and devices * nodes not in (1, place.ranks):
        message = f"this is one of {place.ranks} processes; leave --devices and --nodes to who started them"
        raise WrongRecipe.at(f"--devices {devices} --nodes {nodes}", message)
    return place.is_alone and devices > 1


def in_ranks(located: Located, ranks: int, *words: str, start: Start = launch) -> tuple[Trained, int]:
    """Train in `ranks` processes launched by `start`; return the result and exit code of rank 0.

    `words` are further options of `millstream train`. Raises WrongRecipe when `ranks` do not divide the lanes, and
    Ended or BadEnvironment as `launch` does.
    """
    fit = parts_of(located).fit
    own_lanes(0, ranks, fit.lanes or default_lanes(fit.batch_size), fit.batch_size)
    answer, code = start(["train", *located.words, *words], ranks)
    return Trained.model_validate(answer), code


def here_as_rank(
    located: Located, settings: Settings, dataset: Dataset | None, open_run: Callable[[bool], Run], **options: Any
) -> Trained | None:
    """Train in this process, alone or as one rank; return None on all ranks but rank 0.

    `open_run` is called by rank 0 alone, with whether torchrun has restarted the ranks. Raises as `train` does, and
    Ended for an error that rank 0 reports.
    """
    place = here()
    if place.is_first and misses_returning_hosts(os.environ):
        sys.stderr.write(f"set {OWN_STORE}=1 for torchrun on all hosts; without it one that comes back is not found\n")
    with report_once(place), place.joined(parts_of(located).fit.timeout_s), place.watched():
        # a newly joined host counts from 0
        restarted = place.agree(restarts()) > 0
        own = _opened(place, partial(open_run, restarted))
        description = place.gather(described(own) if own else "")[0]
        with own or Follower.of(description, settings) as run, place.watched():
            result = train(located, run, dataset, place=place, **options)
    return result if place.is_first else None


def _opened(place: Ranks, open_run: Callable[[], Run]) -> Run | None:
    """The run on rank 0, None on the others, which wait for it however long it takes: a lease may have to end first."""
    if place.is_alone:
        return open_run()
    with ThreadPoolExecutor(1) as pool:
        opening = pool.submit(open_run) if place.is_first else None
        is_open = False
        while not is_open:
            done = wait([opening], LOOK_AGAIN_S).done if opening else ()
            is_open = bool(place.agree(len(done)))
        return opening.result() if opening else None
