"""Whose process still works on a run: what tells a run that goes on from one that was left behind."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Self

import psutil
from mlflow import MlflowClient

from tracking.settings import Settings
from tracking.spool import end_of

LOCK = ".held"


class Hold:
    """A run, by its folder, in the hands of this process alone. The kernel lets go when the process dies."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    @classmethod
    def take(cls, folder: Path) -> Self | None:
        """None when another process holds it."""
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        return cls(file)

    def release(self) -> None:
        self._file.close()


def process() -> dict[str, str]:
    """Tags by which others can tell whether this process is still there."""
    return {"hosts": socket.gethostname(), "process": f"{os.getpid()}@{_started(os.getpid())}"}


def reap(client: MlflowClient, settings: Settings, experiments: Iterable[str] | None = None) -> list[str]:
    """End runs of this host that are left RUNNING by a process that is gone; their ids. They are marked as killed, or
    as what they were when they ended without a store to tell it to.

    All experiments are looked through, or those of the given ids.
    """
    reaped = []
    for one in experiments or [found.experiment_id for found in client.search_experiments()]:
        for run in client.search_runs([one], "attributes.status = 'RUNNING'"):
            if _is_gone(run.data.tags):
                run_id = str(run.info.run_id)
                client.set_terminated(run_id, *(end_of(settings, run_id) or ("KILLED",)))
                reaped.append(run_id)
    return reaped


def _is_gone(tags: Mapping[str, str]) -> bool:
    if tags.get("hosts") != socket.gethostname() or "process" not in tags:
        return False
    pid, _, started = tags["process"].partition("@")
    try:
        return _started(int(pid)) != started
    except (psutil.NoSuchProcess, ValueError):
        return True


def _started(pid: int) -> str:
    """Seconds from the machine's start to the process's: a clock that is set back changes neither."""
    booted = psutil.boot_time()
    return f"{psutil.Process(pid).create_time() - booted:.1f}"
