"""Checks of a Spark cluster: whether the master can be reached, and whether its workers can run our jobs."""

from __future__ import annotations

import atexit
import os
import re
import socket
import threading
import time
from pathlib import Path

from py4j.protocol import Py4JError, Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from millstream.pipelines.spark import preflight
from millstream.tracking.errors import BadEnvironment
from millstream.tracking.settings import LOOPBACK

PARTITIONS_A_CORE, LEAST_PARTITIONS = 4, 8
MASTER_WITHIN_S = 10
LOOK_EVERY_S = 5.0
GONE = "no worker has been there for minutes, and nothing is left of the job; start workers, and give the command again"
_PARTITIONS = "spark.sql.shuffle.partitions"
_STANDALONE = re.compile(r"spark://(.+)")
_LACKS = re.compile(r"No module named '([\w.]+)'")
_NO_PYTHON = re.compile(r'Cannot run program "([^"]+)"')
_OTHER_PYTHON = re.compile(r"PYTHON_VERSION_MISMATCH|Python in worker has different version")
_CAUSE = re.compile(r"^\W*(?:Caused by: )?([\w.]+(?:Error|Exception|ArrowInvalid): \S.*)$", re.MULTILINE)
_TASK = re.compile(r".*Lost task [^)]*\) \(\S+ executor \w+\): ")
_GIVEN_UP = re.compile(r"Job \d+ cancelled as part of cancellation of all jobs")


def is_here(address: str) -> bool:
    """Whether driver and masters are on this machine, so that loopback is enough."""
    hosts = [host for host, _ in _masters(address)]
    return address.startswith("local") or (bool(hosts) and all(host in (LOOPBACK, "localhost") for host in hosts))


def check_master(address: str) -> None:
    """Raises BadEnvironment when no standalone master listens at `address`; Spark itself would retry for a minute."""
    refused: OSError | None = None
    for host, port in _masters(address):
        try:
            socket.create_connection((host, port), timeout=MASTER_WITHIN_S).close()
            return
        except OSError as error:
            refused = error
    if refused is not None:
        raise BadEnvironment.at(
            f"spark master {address}", f"does not answer ({refused}); start it, or leave --master out"
        )


def make_ready(spark: SparkSession, packages: Path, within_s: float) -> None:
    """Ship our packages to the workers, and check that each of them can import them.

    Raises BadEnvironment when no worker takes a job in time, or a worker has another Python version or lacks a package.
    """
    context = spark.sparkContext
    context.addPyFile(str(packages))
    context.environment.update(s3_environment())
    late = threading.Timer(within_s, context.cancelAllJobs)
    late.daemon = True
    late.start()
    try:
        preflight.on_each_worker(context, preflight.imports)
    except (Py4JJavaError, PySparkException) as error:
        raise BadEnvironment.at(
            f"spark master {context.master}", _advice(str(error), context.pythonExec, within_s)
        ) from None
    finally:
        late.cancel()
    if not context.getConf().contains(_PARTITIONS):
        # Spark's default of 200 is for large clusters, which can set it in spark-defaults.conf
        spark.conf.set(_PARTITIONS, str(max(LEAST_PARTITIONS, PARTITIONS_A_CORE * context.defaultParallelism)))


def s3_environment() -> dict[str, str]:
    """Environment variables for S3 (credentials, region, endpoint), which are passed to the workers."""
    return {name: value for name, value in os.environ.items() if name.startswith("AWS_")}


def keep_watch(spark: SparkSession, within_s: float) -> None:
    """Cancel waiting jobs once there has been no worker for `within_s` seconds; Spark itself waits forever.

    A cancelled job fails, and `is_given_up` recognizes its error.
    """
    context, is_over = spark.sparkContext, threading.Event()
    atexit.register(is_over.set)

    def look() -> None:
        alone_since = None
        while not is_over.wait(LOOK_EVERY_S):
            try:
                # the driver is counted; dynamic executors may leave while no job needs them
                is_alone = context._jsc.sc().getExecutorMemoryStatus().size() < 2
                waits = bool(context.statusTracker().getActiveJobsIds())
            except (AttributeError, Py4JError):
                return  # the session has ended
            if not (is_alone and waits):
                alone_since = None
            elif alone_since is None:
                alone_since = time.monotonic()
            elif time.monotonic() - alone_since > within_s:
                context.cancelAllJobs()

    threading.Thread(target=look, name="watch over workers", daemon=True).start()


def is_given_up(error: object) -> bool:
    """Whether a job was cancelled for lack of workers."""
    return _GIVEN_UP.search(str(error)) is not None


def cause(error: object) -> str:
    """Root cause of an error, without the stack traces of Java and Python."""
    text = str(error).partition("Driver stacktrace")[0]
    causes = _CAUSE.findall(text)
    return _TASK.sub("", str(causes[-1]) if causes else (text.strip().splitlines() or ["no message"])[0])


def _advice(error: str, python: str, within_s: float) -> str:
    if match := _LACKS.search(error):
        return f"a worker's Python ({python}) lacks {match[1]}; install Millstream's requirements on the workers"
    if match := _NO_PYTHON.search(error):
        return f"a worker has no {match[1]}; set PYSPARK_PYTHON to the Python of the workers"
    if _OTHER_PYTHON.search(error):
        return f"the workers' Python ({python}) has another version than this one; set PYSPARK_PYTHON to one that fits"
    if is_given_up(error):
        return f"no worker took a job within {within_s:g} s; are there workers with a free core and enough memory?"
    return f"the first job failed ({cause(error)}); see the workers' logs"


def _masters(address: str) -> list[tuple[str, int]]:
    """Host and port of each master of a standalone cluster; none for others."""
    match = _STANDALONE.fullmatch(address)
    pairs = [one.rpartition(":") for one in match[1].split(",")] if match else []
    return [(host, int(port)) for host, _, port in pairs if port.isdecimal()]
