"""Write-ahead spool of metrics: written to disk, sent by a background thread, so that no server can block training.

A line of the spool is a list of metrics; params, tags, an input, a file or a model that the server missed or refused;
or the final status of the run. A `.sent` file next to it holds the number of lines sent so far and which of them were
refused; a folder holds the files. Sending a metric twice (after a lost response) is harmless: a tracking store
deduplicates equal points.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from mlflow.entities import Metric

from millstream.tracking.errors import BadEnvironment
from millstream.tracking.runs.champion import Entry
from millstream.tracking.runs.dataset_input import Input, log_input
from millstream.tracking.runs.mlflow_store import Client
from millstream.tracking.runs.params import log_more_params
from millstream.tracking.runs.promotion import Measure
from millstream.tracking.runs.registry import log_model
from millstream.tracking.runs.store_errors import StoreError
from millstream.tracking.settings import Settings

EVERY_S = 1.0
LONGEST_PAUSE_S = 30.0
CLOSE_WITHIN_S = 20.0
MOST_AT_ONCE = 1000
"""Metrics per request, MLflow's limit."""


class Spool:
    """The spool of one run. `add` only waits for the local disk."""

    def __init__(self, settings: Settings, run_id: str, check: Callable[[], None] = lambda: None) -> None:
        """`check` raises BadEnvironment when this process must not write to the run any more."""
        self._check = check
        settings.spool.mkdir(parents=True, exist_ok=True)
        self.file = file_of(settings, run_id)
        self.run_id = run_id
        _without_torn_line(self.file)
        self._out = self.file.open("a", encoding="utf-8")
        # released by the kernel when the process dies, so that others recognise an abandoned spool
        fcntl.flock(self._out, fcntl.LOCK_SH)
        self._wake, self._end = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._unwritten: dict[str, Any] | None = None
        """Final status of the run, if the disk was too full to write it."""
        self._has_arrived = False
        self.refusal: StoreError | None = None
        """The last error of the server, None after a success."""

    @property
    def is_behind(self) -> bool:
        """Whether the server did not respond to the last request."""
        return self.refusal is not None and self.refusal.is_gone

    def add(self, metrics: Mapping[str, float], step: int) -> None:
        """Append the metrics of a step with the current timestamp."""
        now = _now()
        self._write([[name, value, now, step] for name, value in metrics.items()])

    def add_tags(self, tags: Mapping[str, str]) -> None:
        self._write({"tags": dict(tags)})

    def add_params(self, params: Mapping[str, str]) -> None:
        self._write({"params": dict(params)})

    def add_file(self, path: Path, to: str) -> None:
        """Keep a copy of a file, to be logged as an artifact of the run in the folder `to`."""
        name = f"{time.time_ns()}/{path.name}"
        kept = self.file.with_suffix("") / name
        kept.parent.mkdir(parents=True)
        shutil.copyfile(path, kept)
        self._write({"file": name, "to": to})

    def add_input(self, given: Input) -> None:
        self._write({"input": given.model_dump()})

    def add_model(self, folder: Path, entry: Entry | None) -> None:
        """Record the folder of a model that is to be logged and registered."""
        self._write({"model": str(folder), "entry": entry.model_dump() if entry else None})

    def start(self, client: Client) -> None:
        """Start the background thread that sends."""
        self._thread = threading.Thread(target=self._run, args=(client,), name="spool", daemon=True)
        self._thread.start()

    def close(
        self,
        client: Client,
        status: str | None = None,
        tags: Mapping[str, str] | None = None,
        wait_s: float = CLOSE_WITHIN_S,
    ) -> bool:
        """Send what is left, and the final `status` and `tags` if given; whether all arrived. After `wait_s` the rest
        is kept: only the background thread waits for a hanging server."""
        if status is not None:
            end = {"status": status, "at": _now(), "tags": dict(tags or {})}
            try:
                self._write(end)
            except OSError:  # the disk is full: sent from memory below
                self._unwritten = end
        self._end.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout=wait_s)
            if self._thread.is_alive():
                return False
        try:
            self._out.flush()
            os.fsync(self._out.fileno())
            self._out.close()
            if self._has_arrived:
                send(client, self.file)  # nothing is left to send; this removes the file
        except (StoreError, OSError):
            return False
        return self._has_arrived

    def _write(self, line: object) -> None:
        self._out.write(json.dumps(line) + "\n")
        self._out.flush()

    def _run(self, client: Client) -> None:
        pause = EVERY_S
        while not self._end.is_set():
            self._wake.wait(pause)
            self._wake.clear()
            pause = EVERY_S if self._send(client) else min(LONGEST_PAUSE_S, pause * 2)
        with suppress(StoreError):  # what did not arrive stays in the spool
            if self._unwritten is not None:
                _send_end(client, self.run_id, self._unwritten)
            self._has_arrived = self._send(client) and self._unwritten is None

    def _send(self, client: Client) -> bool:
        """Whether the server accepted everything."""
        try:
            self._check()
            send(client, self.file, keep=True)
            self.refusal = None
        except StoreError as error:
            self.refusal = error
            return False
        except (BadEnvironment, OSError):
            return False
        return True


def file_of(settings: Settings, run_id: str) -> Path:
    """Path of a run's spool; it exists while anything is unsent."""
    return settings.spool / f"{run_id}.jsonl"


def end_of(settings: Settings, run_id: str) -> tuple[str, int] | None:
    """Final status and end time (ms since 1970) of a run that the store has not received; None if there is none."""
    file = file_of(settings, run_id)
    lines = file.read_bytes().splitlines(keepends=True) if file.exists() else []
    whole = [line for line in lines if line.endswith(b"\n")]
    end = json.loads(whole[-1]) if whole else None
    return (end["status"], end["at"]) if isinstance(end, dict) and "status" in end else None


def set_aside(file: Path) -> None:
    """Rename a spool that is not to be sent, because another process has taken the run since."""
    for one in (file, file.with_suffix(".sent")):
        if one.exists():
            one.replace(one.with_name(f"{one.name}.outdated"))


def send(client: Client, file: Path, *, keep: bool = False, measure: Measure | None = None) -> int:
    """Send the unsent lines of a spool; returns how many. A complete spool is removed, unless its run still writes
    (`keep`); torn lines (dead process, full disk) are ignored. A model whose champion must be measured waits for a call
    with `measure`.

    A line that the server refuses stays for the next attempt, and the following lines are sent. Raises StoreError for
    the first refused line, or at once if the server is down; everything accepted so far is recorded.
    """
    done_file = file.with_suffix(".sent")
    done, *refused = map(int, done_file.read_text().split()) if done_file.exists() else (0,)
    with file.open(encoding="utf-8") as lines:
        whole = [line for line in lines if line.endswith("\n")]
    waiting = [*refused, *range(done, len(whole))]
    sent, most, left, refusal = 0, MOST_AT_ONCE, list[int](), None
    while waiting:
        taken, metrics = _some([whole[at] for at in waiting[:most]])
        try:
            if taken:
                client.log_batch(file.stem, metrics=metrics)
            else:
                taken = 1
                _send_line(client, file, json.loads(whole[waiting[0]]), measure)
            sent += taken
        except StoreError as error:
            if error.is_gone:
                raise
            if error.is_of_content and taken > 1:
                most = taken // 2
                continue
            refusal = refusal or error
            left += waiting[:taken]
        done = max(done, waiting[taken - 1] + 1)
        del waiting[:taken]
        _replace(done_file, " ".join(map(str, [done, *left, *(at for at in waiting if at < done)])))
    if refusal is not None:
        raise refusal
    if not keep:
        shutil.rmtree(file.with_suffix(""), ignore_errors=True)
        file.unlink(missing_ok=True)
        done_file.unlink(missing_ok=True)
    return sent


def _send_line(client: Client, file: Path, line: Mapping[str, Any], measure: Measure | None) -> None:
    """Send a line of the spool other than metrics."""
    run_id = file.stem
    if "file" in line:
        client.log_artifact(run_id, str(file.with_suffix("") / line["file"]), line["to"] or None)
    elif "input" in line:
        log_input(client, run_id, Input.model_validate(line["input"]))
    elif "model" in line:
        folder = _kept(file, line["model"])
        if not folder.is_dir():
            raise StoreError.at(folder, f"the model of run {run_id} was kept here, and is gone; its metrics are sent")
        entry = Entry.model_validate(line["entry"]) if line["entry"] else None
        log_model(client, run_id, folder, entry, measure)
    elif "params" in line:
        log_more_params(client, run_id, line["params"])
    elif "status" in line:
        _send_end(client, run_id, line)
    else:
        for name, value in line["tags"].items():
            client.set_tag(run_id, name, value)


def _kept(file: Path, folder: str) -> Path:
    """The folder of a model in the home of its spool, also after the home was moved."""
    below = folder.rpartition(f"/checkpoints/{file.stem}/")[2]
    here = file.parent.parent / "checkpoints" / file.stem / below
    return here if here.is_dir() else Path(folder)


def _send_end(client: Client, run_id: str, end: Mapping[str, Any]) -> None:
    for name, value in end.get("tags", {}).items():  # missing in older spools
        client.set_tag(run_id, name, value)
    client.set_terminated(run_id, end["status"], end["at"])


def _now() -> int:
    """Milliseconds since 1970."""
    return int(time.time() * 1000)


def _replace(file: Path, content: str) -> None:
    """Atomic write, so that a full disk or a kill leaves the previous content."""
    beside = file.with_name(f".{file.name}")
    beside.write_text(content)
    beside.replace(file)


def _without_torn_line(file: Path) -> None:
    """Truncate a torn last line (dead process, full disk), to which the next line would be appended."""
    if file.exists():
        content = file.read_bytes()
        if not content.endswith(b"\n"):
            os.truncate(file, content.rfind(b"\n") + 1)


def unsent(settings: Settings) -> list[Path]:
    """Spools of ended runs with unsent lines; those of running runs are skipped."""
    return [file for file in sorted(settings.spool.glob("*.jsonl")) if not _is_written(file)]


def _is_written(file: Path) -> bool:
    try:
        with file.open() as opened:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, FileNotFoundError):  # its run is active, or has just ended
        return True
    return False


def _some(lines: list[str]) -> tuple[int, list[Metric]]:
    """Number of lines for one request, up to the next line that is not metrics, and their metrics."""
    metrics: list[Metric] = []
    for at, line in enumerate(lines):
        content = json.loads(line)
        if isinstance(content, dict):
            return at, metrics
        points = [Metric(name, value, stamp, step) for name, value, stamp, step in content]
        if metrics and len(metrics) + len(points) > MOST_AT_ONCE:
            return at, metrics
        metrics += points
    return len(lines), metrics
