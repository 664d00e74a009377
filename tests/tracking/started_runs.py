"""Runs in every state that others may find them in."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

from millstream.tracking.runs.mlflow_store import open_store
from millstream.tracking.runs.run import Run
from tests.forkserver import python


def course(client, run_id, name):
    return sorted((point.step, point.value) for point in client.get_metric_history(run_id, name))


def left(settings, located, identity, status="KILLED"):
    """A run that ended like this, with a state; its id."""
    run = Run.start(settings, located)
    run.tag(identity=identity)
    (run.folder / "state").touch()
    run.finish(status)
    return run.id


def has_state(folder):
    return (folder / "state").exists()


def unfinished(settings, located, identity):
    return Run.unfinished(settings, located, {"identity": identity}, has_state)


LEAVE_RUNNING = """
import sys, time
from millstream.tracking.recipe.loader import load
from millstream.tracking.runs.run import Run
from millstream.tracking.settings import Settings
run = Run.start(Settings.read({"MILLSTREAM_HOME": sys.argv[1]}), load(sys.argv[2]))
print(run.id, flush=True)
time.sleep(600)
"""


def running(settings, located, child=False):
    """A client, a process with an open run, and the id of the run; a child is a zombie once it was killed."""
    words = ["-c", LEAVE_RUNNING, str(settings.home), str(located.file)]
    start = partial(subprocess.Popen, [sys.executable, *words], stdout=subprocess.PIPE, text=True)
    process = start() if child else python(*words)
    run_id = process.stdout.readline().strip()
    return open_store(settings), process, run_id
