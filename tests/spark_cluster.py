"""A real standalone cluster on loopback: a master and workers, each a process of its own, stopped at the end.

The workers' Python has what a worker needs, and no Millstream: our packages have to come with the job.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pyspark

from millstream.pipelines.spark.session import find_java
from tests import shortcuts

HOME = Path(pyspark.__file__).parent
WITHIN_S = 120
FORGET = """
import sys
sys.meta_path[:] = [one for one in sys.meta_path if "__editable__" not in getattr(one, "__module__", "")]
sys.path[:] = [one for one in sys.path if "__editable__" not in one]
"""
TOGETHER = """
spark.cores.max {workers}
spark.scheduler.minRegisteredResourcesRatio 1.0
spark.scheduler.maxRegisteredResourcesWaitingTime {within_s}s
"""
"""A job begins when each worker has its part, however busy the machine is; else one of them could do it all."""


class Cluster:
    """Its address, its worker processes, and the environment in which a job finds the workers' Python."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []
        self.workers: list[psutil.Process] = []
        self.master = ""

    @property
    def environment(self) -> dict[str, str]:
        return {"PYSPARK_PYTHON": str(self.folder / "python"), "SPARK_CONF_DIR": str(self.folder / "conf")}

    def start(self, workers: int) -> None:
        changed_python(self.folder, FORGET)
        (self.folder / "conf").mkdir()
        if workers:  # else a job would wait for them twice
            options = TOGETHER.format(workers=workers, within_s=WITHIN_S)
            if shortcuts.ARE_TAKEN:
                options += "".join(f"{name} {value}\n" for name, value in shortcuts.SPARK.items())
            (self.folder / "conf" / "spark-defaults.conf").write_text(options)
        log = self._run("master.Master", "--host", "127.0.0.1", "--port", "0", "--webui-port", "0")
        self.master = self._logged(log, r"Starting Spark master at (spark://127\.0\.0\.1:\d+)")
        for _ in range(workers):
            self.add_worker()

    def add_worker(self) -> None:
        """One more worker with one core."""
        one = ("--host", "127.0.0.1", "--port", "0", "--webui-port", "0", "--cores", "1", "--memory", "1g")
        log = self._run("worker.Worker", *one, "--work-dir", str(self.folder / "work"), self.master)
        self._logged(log, "Successfully registered with master")
        self.workers.append(psutil.Process(self.processes[-1].pid))

    def executors(self, worker: psutil.Process) -> int:
        """How many processes a worker has running for jobs."""
        running = 0
        for one in worker.children():
            with suppress(psutil.NoSuchProcess):  # it has just ended
                running += "CoarseGrainedExecutorBackend" in " ".join(one.cmdline())
        return running

    def logs(self) -> str:
        """The end of what the master and the workers wrote."""
        return "\n".join(log.read_text(errors="replace")[-3000:] for log in sorted(self.folder.glob("*.log")))

    def executors_so_far(self) -> int:
        """How many executors were started so far."""
        return len(list((self.folder / "work").glob("app-*/*")))

    def kill_worker(self) -> None:
        """SIGKILL for the worker that was added first, and for what it runs."""
        end(self.workers.pop(0).pid)

    def stop(self) -> None:
        """Ends what was started here and its children, and nothing else: the workers first, then their master."""
        for process in reversed(self.processes):
            end(process.pid)
            process.wait()

    def _run(self, kind: str, *words: str) -> Path:
        log = self.folder / f"{kind}-{len(self.processes)}.log"
        java = find_java()
        more = {
            "JAVA_HOME": str(java.parent.parent),
            "SPARK_HOME": str(HOME),
            "SPARK_LOCAL_DIRS": str(self.folder / "local"),
            "SPARK_DAEMON_MEMORY": "256m",
        }
        command = [str(HOME / "bin" / "spark-class"), f"org.apache.spark.deploy.{kind}", *words]
        with log.open("wb") as out:
            self.processes.append(
                subprocess.Popen(command, env=os.environ | more, cwd=self.folder, stdout=out, stderr=out)
            )
        return log

    def _logged(self, log: Path, pattern: str) -> str:
        end = time.monotonic() + WITHIN_S
        while time.monotonic() < end:
            if found := re.search(pattern, log.read_text(errors="replace")):
                return found[found.lastindex or 0]
            assert self.processes[-1].poll() is None, log.read_text(errors="replace")[-3000:]
            time.sleep(0.1)
        raise AssertionError(f"not logged within {WITHIN_S} s: {pattern}\n{log.read_text(errors='replace')[-3000:]}")


def changed_python(folder: Path, customize: str) -> Path:
    """This Python, but for what is done at its start."""
    (folder / "customize").mkdir()
    (folder / "customize" / "sitecustomize.py").write_text(customize)
    python = folder / "python"
    python.write_text(f"#!/bin/sh\nPYTHONPATH='{folder / 'customize'}':$PYTHONPATH exec '{sys.executable}' \"$@\"\n")
    python.chmod(0o755)
    return python


@contextmanager
def cluster(folder: Path, workers: int = 2) -> Iterator[Cluster]:
    made = Cluster(folder)
    try:
        made.start(workers)
        yield made
    finally:
        made.stop()


def end(pid: int) -> None:
    """SIGKILL for a process and all that it has started."""
    try:
        one = psutil.Process(pid)
        family = [one, *one.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(family, timeout=30)
