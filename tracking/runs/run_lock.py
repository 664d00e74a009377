"""Lock of a run: distinguishes active runs from abandoned ones.

The process that works on a run holds a lock in its folder. Where that folder is visible, the lock alone decides,
regardless of the hostname: a restarted container has a new name, and a shared home is seen by several hosts. Where it
is not (separate homes, one tracking server), or another home has taken the run since, processes of this host can be
checked, and those of others by their lease.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Self

import psutil
from mlflow import MlflowClient
from mlflow.entities import Run

from millstream.tracking.host.file_access import is_writable
from millstream.tracking.host.file_lock import alone, locked
from millstream.tracking.host.processes import living
from millstream.tracking.runs import lease
from millstream.tracking.runs.metric_spool import end_of
from millstream.tracking.settings import Settings

LOCK = ".held"
GUARD = ".taking"
"""Next to the run folders: serializes taking a run and ending abandoned ones."""


class Hold:
    """Exclusive hold of a run, by its folder. The kernel releases it when the process dies.

    The file is empty until the run was taken: between its creation and the lock the run does not count as abandoned.
    Then it holds the token of the lease.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def sign(self, token: str) -> None:
        """Record the token with which the run was taken."""
        self._file.truncate(0)
        self._file.write(f"{token}\n".encode())
        self._file.flush()

    @classmethod
    def take(cls, folder: Path) -> Self | None:
        """None if another process holds it."""
        with alone(folder.parent / GUARD):
            return cls._taken(folder)

    @classmethod
    @contextmanager
    def taken_if_left(cls, folder: Path) -> Iterator[bool]:
        """Whether the run was taken before and is held by nobody; nobody can take it inside the context."""
        with alone(folder.parent / GUARD):
            hold = cls._taken(folder)
            try:
                yield hold is not None
            finally:
                if hold is not None:
                    hold.release()

    @classmethod
    def _taken(cls, folder: Path) -> Self | None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / LOCK
        file = path.open("ab")
        if not locked(file, path, wait=False):
            file.close()
            return None
        if not path.stat().st_size:
            cls(file).sign(lease.FIRST)
        return cls(file)

    def release(self) -> None:
        self._file.close()

    def hand_over(self) -> None:
        """Release it for another process; until then it does not count as abandoned."""
        self._file.truncate(0)
        self.release()


def process() -> dict[str, str]:
    """Tags by which others on this host can check whether this process is alive."""
    pid = os.getpid()
    return {"hosts": socket.gethostname(), "process": f"{pid}@{_started(psutil.Process(pid))}"}


def is_conclusive(folder: Path, run: Run) -> bool:
    """Whether the lock in a run's folder decides: the run was taken there last, and not handed over since."""
    lock = folder / LOCK
    return lock.exists() and lock.read_text(encoding="utf-8").strip() == lease.newest(run)[1]


def was_taken_since(folder: Path, run: Run) -> bool:
    """Whether a process that does not see the lock in a run's folder has taken the run after those that do."""
    lock = folder / LOCK
    return lock.exists() and lock.read_text(encoding="utf-8").strip() not in ("", lease.newest(run)[1])


def may_run_elsewhere(settings: Settings, run: Run) -> bool:
    """Whether a run is marked RUNNING, and neither its lock nor its process can be checked here."""
    return bool(run.info.status == "RUNNING") and not can_be_checked(settings, run)


def can_be_checked(settings: Settings, run: Run) -> bool:
    """Whether the lock or the process of a run can be looked at here."""
    return is_conclusive(settings.checkpoints / str(run.info.run_id), run) or _is_of_this_host(run.data.tags)


def files(folder: Path) -> list[Path]:
    """Files that this user must be able to write to take a run."""
    return [path for path in (folder, folder / LOCK) if path.exists()]


def reap(client: MlflowClient, settings: Settings, experiments: Iterable[str] | None = None) -> list[str]:
    """End RUNNING runs of dead processes; returns their IDs. They are marked as killed, or with the final status that
    they could not send.

    Checks all experiments, or those with the given IDs.
    """
    reaped = []
    for one in experiments or [found.experiment_id for found in client.search_experiments()]:
        for run in client.search_runs([one], "attributes.status = 'RUNNING'"):
            run_id = str(run.info.run_id)
            with _left_behind(settings.checkpoints / run_id, run) as is_left:
                # another process may have resumed and ended it since
                if is_left and client.get_run(run_id).info.status == "RUNNING":
                    client.set_terminated(run_id, *(end_of(settings, run_id) or ("KILLED",)))
                    lease.release(client, run)
                    reaped.append(run_id)
    return reaped


@contextmanager
def _left_behind(folder: Path, run: Run) -> Iterator[bool]:
    if not is_conclusive(folder, run):
        holder = lease.Holder.of(run)
        yield _is_process_gone(run.data.tags) or (holder is not None and holder.is_long_over)
    elif not is_writable(folder / LOCK):
        yield False  # another user's, who will end it
    else:
        with Hold.taken_if_left(folder) as is_left:
            yield is_left


def _is_process_gone(tags: Mapping[str, str]) -> bool:
    """Whether the process of a run ran on this host, and is gone."""
    if not _is_of_this_host(tags) or "process" not in tags:
        return False
    pid, _, started = tags["process"].partition("@")
    process = living(int(pid)) if pid.isdecimal() else None
    return process is None or _started(process) != started


def _is_of_this_host(tags: Mapping[str, str]) -> bool:
    return tags.get("hosts") == socket.gethostname()


def _started(process: psutil.Process) -> str:
    """Seconds from boot to process start, which clock changes do not affect."""
    return f"{process.create_time() - psutil.boot_time():.1f}"
