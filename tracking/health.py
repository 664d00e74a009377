"""Checks of the machine for `doctor`; each package contributes the checks of its dependencies."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from pydantic import BaseModel

from millstream.tracking.errors import Refusal
from millstream.tracking.runs.metric_spool import send, set_aside, unsent
from millstream.tracking.runs.mlflow_store import Client, open_store
from millstream.tracking.runs.promotion import Measure
from millstream.tracking.runs.run_lock import Hold, reap, was_taken_since
from millstream.tracking.runs.store_errors import StoreError, shown
from millstream.tracking.settings import Settings

LEAST_DISK_GIB = 2


class Check(BaseModel, frozen=True):
    name: str
    ok: bool
    found: str
    mend: str = ""
    """The remedy."""


def checked(name: str, question: Callable[[], str], mend: str) -> Check:
    """A check that passes if `question` returns, and fails if it raises a Refusal."""
    try:
        return Check(name=name, ok=True, found=question())
    except Refusal as error:
        return Check(name=name, ok=False, found=str(error), mend=mend)


def checks(settings: Settings, *, send_spool: bool = False, measure: Measure | None = None) -> Iterator[Check]:
    """Checks of the tracking store, unsent metrics, runs of dead processes and disk space.

    `measure` measures a champion on the dataset version of a model that was kept for `send_spool`.
    """
    yield checked("tracking", lambda: _tracking(settings), "do what the error advises, or unset MLFLOW_TRACKING_URI")
    yield _unsent(settings, send_spool, measure)
    settings.home.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(settings.home).free / (1 << 30)
    mend = "" if free > LEAST_DISK_GIB else "make room, or set MILLSTREAM_HOME to another disk"
    yield Check(name="disk", ok=not mend, found=f"{free:.0f} GiB free at {settings.home}", mend=mend)


def _tracking(settings: Settings) -> str:
    client = open_store(settings)
    reaped = reap(client, settings)
    more = f"; marked {len(reaped)} runs as ended whose process is gone" if reaped else ""
    return f"{shown(settings.tracking_uri)} answers{more}"


def _unsent(settings: Settings, send_spool: bool, measure: Measure | None) -> Check:
    waiting = unsent(settings)
    if waiting and send_spool:
        return _send(settings, waiting, measure)
    if waiting:
        return Check(
            name="metrics", ok=False, found=f"{len(waiting)} runs have unsent metrics", mend="millstream doctor --send"
        )
    return Check(name="metrics", ok=True, found="all sent")


def _send(settings: Settings, waiting: list[Path], measure: Measure | None) -> Check:
    """Send each run's unsent metrics; an error of one run does not block the others."""
    again = "do what the error advises, then millstream doctor --send"
    try:
        client = open_store(settings)
    except Refusal as error:
        return Check(name="metrics", ok=False, found=f"not sent: {error}", mend=again)
    sent, refused = 0, list[str]()
    for file in waiting:
        try:
            sent += _sent(client, settings, file, measure)
        except (StoreError, OSError) as error:
            refused.append(f"run {file.stem}, not sent: {error} (kept in {file})")
    lines = [f"sent what {sent} runs had left", *refused]
    return Check(name="metrics", ok=not refused, found="; ".join(lines), mend=again if refused else "")


def _sent(client: Client, settings: Settings, file: Path, measure: Measure | None) -> bool:
    """Whether the spool was sent from here; the process of a running run sends its own."""
    folder = settings.checkpoints / file.stem
    if was_taken_since(folder, client.get_run(file.stem)):
        set_aside(file)
        return False
    hold = Hold.take(folder)
    if hold is None:
        return False
    try:
        send(client, file, measure=measure)
    finally:
        hold.release()
    return True
