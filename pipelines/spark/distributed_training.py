"""Distributed training on a Spark cluster by TorchDistributor: each rank is a task of one barrier stage."""

from __future__ import annotations

import json
import os
import runpy
import sys
import tempfile
from contextlib import redirect_stdout
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.ml.torch.distributor import TorchDistributor

from millstream.pipelines.spark import cluster
from millstream.pipelines.spark.session import session
from millstream.tracking.errors import BadEnvironment, Ended
from millstream.tracking.settings import CHECKPOINTS, Settings

GPUS = "spark.task.resource.gpu.amount"
PASSED_ON = ("MILLSTREAM_STORE", "MILLSTREAM_CACHE_GIB", "MILLSTREAM_LEASE_S", "MLFLOW_TRACKING_URI")


def on_hosts(master: str, settings: Settings, words: list[str], ranks: int) -> tuple[Any, int]:
    """Runs `millstream WORDS --json` in `ranks` ranks; returns the JSON result of rank 0 and its exit code.

    Millstream has to be installed on the hosts, and its home on a file system that they share. Raises Ended when the
    ranks refused or failed, and BadEnvironment when the cluster cannot run them.
    """
    spark = session(master, settings)
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ} | cluster.s3_environment()
    environment["MILLSTREAM_HOME"] = str(settings.home.absolute())
    if settings.checkpoint_place:
        environment[CHECKPOINTS] = settings.checkpoint_place  # absolute
    has_gpus = spark.sparkContext.getConf().contains(GPUS)
    distributor = TorchDistributor(num_processes=ranks, local_mode=False, use_gpu=has_gpus)
    try:
        with redirect_stdout(sys.stderr):  # output of the ranks; stdout is reserved for the result
            printed, code = distributor.run(_rank, [*words, "--json"], environment)
    except (Py4JJavaError, PySparkException, RuntimeError) as error:
        message = (
            f"the ranks did not end well ({cluster.cause(error)}); the last checkpoint is kept, resume with any number"
        )
        raise BadEnvironment.at(f"spark master {master}", message) from None
    answer = json.loads(printed.splitlines()[-1])
    if "error" in answer:
        raise Ended(answer, code)
    return answer, code


def _rank(words: list[str], environment: dict[str, str]) -> tuple[str, int]:
    """On a host: runs the command as one rank of torchrun; returns its stdout and exit code."""
    os.environ |= environment
    sys.argv = ["millstream", *words]
    stdout, code = 1, 0
    with tempfile.TemporaryFile("w+") as printed:
        kept = os.dup(stdout)
        os.dup2(printed.fileno(), stdout)
        try:
            runpy.run_module("millstream", run_name="__main__")
        except SystemExit as ended:
            code = int(ended.code or 0)
        finally:
            os.dup2(kept, stdout)
        printed.seek(0)
        return printed.read(), code
