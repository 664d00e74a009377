"""Preflight checks: whether each worker of a cluster has what a job needs, before the job begins.

Spark retries a failed task on another worker, so that a job may succeed by luck, or fail after hours.
"""

from __future__ import annotations

import importlib
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from pyspark import SparkContext
from pyspark.sql import SparkSession

from millstream.pipelines.spark.worker_daemon import NEEDED
from millstream.tracking.dataset.filesystems import S3, Place, Remote
from millstream.tracking.errors import BadEnvironment, Fault

ROUNDS = 5
"""Maximal number of jobs over all workers: workers that register late miss the first ones."""
CREDENTIALS = "workers are given the AWS_* of this command; set them here, and let the worker's host reach the address"
MOST = 1_000
"""Maximal number of files of a source that are checked: an image folder may have millions."""

Look = Callable[[], str | None]
"""Check on a worker; returns the problem or None."""


def on_each_worker(context: SparkContext, look: Look) -> dict[str, str]:
    """Problems of the workers, by host; workers without a problem are left out."""

    def checked(numbers: Iterator[int]) -> Iterator[tuple[tuple[str, str], str | None]]:
        for _ in numbers:
            # each executor has its own working directory
            yield (socket.gethostname(), str(Path.cwd())), look()

    problems: dict[tuple[str, str], str | None] = {}
    for _ in range(ROUNDS):
        workers = int(context._jsc.sc().getExecutorMemoryStatus().size()) - 1  # minus the driver
        # tasks are distributed over all free cores at once
        tasks = max(workers, context.defaultParallelism)
        problems |= dict(context.parallelize(range(tasks), tasks).mapPartitions(checked).collect())
        if len(problems) >= int(context._jsc.sc().getExecutorMemoryStatus().size()) - 1:
            break
    return {host: wrong for (host, _), wrong in problems.items() if wrong is not None}


def imports() -> None:
    """On a worker: import what all of our jobs need."""
    for name in NEEDED:
        importlib.import_module(name)


def check(spark: SparkSession, places: Iterable[Place], advice: str) -> None:
    """Raises BadEnvironment, naming the workers, when one cannot read a path or reach an S3 URL.

    `advice` is the remedy for a path. Other file systems are reached by Spark itself.
    """
    if spark.sparkContext.master.startswith("local"):
        return
    wanted = [where for where in islice(places, MOST) if isinstance(where, Path) or where.scheme == S3]
    wrong = on_each_worker(spark.sparkContext, lambda: _out_of_reach(wanted))
    BadEnvironment.unless_empty(
        Fault(where=f"worker {host}", message=f"{problem}; {CREDENTIALS if '://' in problem else advice}")
        for host, problem in sorted(wrong.items())
    )


def _out_of_reach(places: Sequence[Place]) -> str | None:
    for where in places:
        if isinstance(where, Remote):
            try:
                where.is_dir()
            except BadEnvironment as refused:
                return f"does not reach {refused}"
        elif not os.access(where, os.R_OK):
            return f"does not see {where}"
    return None
