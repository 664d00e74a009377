"""An MLflow run of a recipe, from preparation to model, across restarts."""

from __future__ import annotations

import json
import shlex
import sys
import tempfile
from collections.abc import Callable, Container, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from matplotlib.figure import Figure
from mlflow.entities import Run as MlflowRun
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE
from mlflow.utils.validation import MAX_TAG_VAL_LENGTH

from millstream.tracking.dataset.class_balance import plans
from millstream.tracking.dataset.filesystems import Place
from millstream.tracking.dataset.manifest import Manifest
from millstream.tracking.errors import BadEnvironment, Stopped
from millstream.tracking.figures.balance import balance
from millstream.tracking.host import file_access
from millstream.tracking.host.disk_full import is_full
from millstream.tracking.recipe.schema import Located
from millstream.tracking.runs import lease, new_run, run_lock
from millstream.tracking.runs.champion import Decision, Entry
from millstream.tracking.runs.dataset_input import Input, log_input
from millstream.tracking.runs.earlier_runs import held, is_free, is_worked_on, named, send_left, with_tags
from millstream.tracking.runs.lease import Holder, Lease
from millstream.tracking.runs.metric_spool import CLOSE_WITHIN_S, Spool
from millstream.tracking.runs.mlflow_store import Client, experiment, open_store
from millstream.tracking.runs.params import flatten, log_more_params, log_params
from millstream.tracking.runs.promotion import Measure, decision_of
from millstream.tracking.runs.registry import log_model
from millstream.tracking.runs.run_lock import Hold
from millstream.tracking.runs.store_errors import StoreError, shown
from millstream.tracking.runs.table import LOGGED, Table
from millstream.tracking.settings import Settings

LEAVE_WITHIN_S = 5.0
"""Timeout for the store when a run stops or fails; short, since it may be killed soon after."""
ENDED = frozenset(["ended", "go_on"])
"""Tags of an unfinished run: the reason, and the command that resumes it."""


Sent = TypeVar("Sent")


def _ignore(line: str) -> None:
    pass


class Run:
    """A run in the store. As a context it ends as finished, failed, or stopped with the command to resume it."""

    def __init__(
        self,
        client: Client,
        settings: Settings,
        stored: MlflowRun,
        located: Located,
        hold: Hold,
        token: str = lease.FIRST,
    ) -> None:
        """`token` is that of the lease with which the run was taken."""
        self.client = client
        self.settings = settings
        self.id = str(stored.info.run_id)
        self.name = str(stored.info.run_name)
        self.located = located
        self._tables: list[dict[str, str]] = []
        """Logged tables, as the tag LOGGED lists them."""
        self.resumed = False
        """Whether it was resumed."""
        self.go_on = shlex.join(["millstream", "train", *located.words, "--resume", self.id])
        """The command that resumes it."""
        self._hold = hold
        self._is_handed_over = False
        self._refusal: StoreError | None = None
        """The last error of the store."""
        self.lease = Lease(client, self.id, Holder.here(settings.lease_s), token)
        self.spool = Spool(settings, self.id, self.lease.check)
        self.spool.start(client)

    @classmethod
    def start(cls, settings: Settings, located: Located, *, parent: str | None = None) -> Self:
        """A new run in the recipe's experiment, with the resolved recipe logged.

        Raises BadEnvironment if the store is unreachable, or refuses the run, its params or its files. Later errors of
        the store do not stop the run: what it refuses is spooled.
        """
        client = open_store(settings)
        tags = new_run.tags(located) | {lease.TAG: Holder.here(settings.lease_s).model_dump_json()}
        tags |= {"mlflow.parentRunId": parent} if parent else {}
        within = experiment(client, settings, located.name, located.recipe.about)
        stored = client.create_run(within, tags=tags, run_name=new_run.name(located))
        hold = held(settings, stored)
        try:
            log_params(client, stored.info.run_id, flatten(located.resolved()))
            client.log_text(stored.info.run_id, new_run.as_yaml(located), "recipe.yaml")
            client.log_text(stored.info.run_id, new_run.installed(), "environment.txt")
        except StoreError:
            with suppress(StoreError):  # the first error is raised below
                client.set_terminated(stored.info.run_id, "FAILED")
            hold.release()
            raise
        return cls(client, settings, stored, located, hold)

    @classmethod
    def resume(cls, settings: Settings, located: Located, run_id: str, say: Callable[[str], None] = _ignore) -> Self:
        """Reopen a run that was stopped, killed or failed; that of another host when its lease has ended.

        Raises WrongRecipe if no run has this ID, it belongs to another recipe, or another process works on it.
        """
        client = open_store(settings)
        stored = named(client, located, run_id)
        hold = held(settings, stored) if is_free(client, settings, stored, say, handed=True) else None
        run = cls._taken(client, settings, stored, located, hold) if hold else None
        if run is None:
            raise is_worked_on(stored)
        return run

    @classmethod
    def unfinished(
        cls,
        settings: Settings,
        located: Located,
        tags: Mapping[str, str],
        has_state: Callable[[Path], bool],
        *,
        only_newest: bool = False,
        say: Callable[[str], None] = _ignore,
    ) -> Self | None:
        """Reopen the newest run with these tags that was stopped or killed and left a checkpoint.

        Skips runs that failed, since they would fail again, those that another process works on, and those that
        `out_of_reach` reports. For a run of another host it waits until the lease ends, or is renewed.
        """
        client = open_store(settings)
        within = [experiment(client, settings, located.name)]
        run_lock.reap(client, settings, within)
        runs = with_tags(client, within, tags)
        for stored in runs[:1] if only_newest else runs:
            folder = settings.checkpoints / str(stored.info.run_id)
            is_left = (
                stored.info.status in ("KILLED", "RUNNING")
                and has_state(folder)
                and file_access.is_writable(*run_lock.files(folder))
                and is_free(client, settings, stored, say)
            )
            hold = Hold.take(folder) if is_left else None
            run = cls._taken(client, settings, stored, located, hold, ("KILLED", "RUNNING")) if hold else None
            if run is not None:
                return run
        return None

    @classmethod
    def _taken(
        cls,
        client: Client,
        settings: Settings,
        stored: MlflowRun,
        located: Located,
        hold: Hold,
        among: Container[str] | None = None,
    ) -> Self | None:
        """The run, resumed, if it still has one of the statuses `among`, and no other process has taken it since it was
        read; otherwise the hold is released."""
        token: str | None = lease.newest(stored)[1]
        competes = settings.checkpoint_copies(str(stored.info.run_id)) is not None  # with hosts that see no lock
        if competes:
            token = lease.record(client, stored)
        if token is None:
            hold.release()
            return None
        send_left(client, settings, stored)
        # another process may have finished it before this lock, or while the store was down
        now = client.get_run(stored.info.run_id)
        if among is not None and now.info.status not in among:
            if competes:
                lease.release(client, now)
            hold.release()
            return None
        hold.sign(token)
        client.set_tag(stored.info.run_id, lease.TAG, Holder.here(settings.lease_s).model_dump_json())
        run = cls(client, settings, stored, located, hold, token)
        run.resumed = True
        run.tag(**run_lock.process())  # first: a running run whose process is gone is ended by others
        client.update_run(run.id, status="RUNNING")
        for name in ENDED & client.get_run(run.id).data.tags.keys():
            client.delete_tag(run.id, name)  # it is running again
        return run

    @property
    def folder(self) -> Path:
        """Checkpoint folder."""
        return self.settings.checkpoints / self.id

    def params(self, tree: Mapping[str, Any]) -> None:
        """Log params in addition to those of the recipe, such as defaults; those that it has stay as they are."""
        values = flatten(tree)
        self._send(lambda: log_more_params(self.client, self.id, values), lambda: self.spool.add_params(values))

    def note(self, markdown: str) -> None:
        """Describe the run at the top of its page in MLflow."""
        self.tag(**{MLFLOW_RUN_NOTE: markdown})

    def decision(self, model_uri: str) -> Decision | None:
        """The decision about the run's registered model; None while there is none, or the store does not respond."""
        return self._send(lambda: decision_of(self.client, model_uri), lambda: None)

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Log metrics of a step. Raises BadEnvironment if another process has taken the run."""
        self.lease.refuse_if_lost()
        self.spool.add(values, step)

    def tag(self, **tags: str) -> None:
        def now() -> None:
            for name, value in cut.items():
                self.client.set_tag(self.id, name, value)

        cut = {name: value[:MAX_TAG_VAL_LENGTH] for name, value in tags.items()}
        self._send(now, lambda: self.spool.add_tags(cut))

    def _send(self, now: Callable[[], Sent], later: Callable[[], None]) -> Sent | None:
        """Send to the store; returns None and spools if it is down or refuses. Raises BadEnvironment if another process
        has taken the run."""
        self.lease.refuse_if_lost()
        if not self.spool.is_behind:
            self.lease.check()
            try:
                return now()
            except StoreError as error:
                if is_full(error):
                    raise
                self._refusal = error
                self.spool.refusal = error
        later()
        return None

    @property
    def _reason(self) -> str:
        """Why data is spooled."""
        refusal = self.spool.refusal or self._refusal
        return str(refusal) if refusal else f"{shown(self.client.uri)}: the tracking store does not answer"

    def dataset(self, manifest: Manifest, folder: Place) -> None:
        """Log the dataset version as the run's input, with its manifest, checks and class balance."""
        given = Input.of(manifest, folder)
        self._send(lambda: log_input(self.client, self.id, given), lambda: self.spool.add_input(given))
        self.tag(dataset=manifest.name, dataset_version=manifest.version)
        self.text("manifest.json", manifest.text())
        self.text(
            "leakage.txt",
            "".join(f"{check.name}: {check.ok} {json.dumps(check.figures)}\n" for check in manifest.checks),
        )
        for at, plan in enumerate(plans(manifest.steps), 1):
            self.figure(f"balance_{at}", balance(plan))

    def figure(self, name: str, figure: Figure) -> None:
        """Log a figure as `figures/<name>.png`."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{name}.png"
            figure.savefig(path, dpi=120)
            self._artifact(path, "figures")

    def table(self, name: str, table: Table) -> None:
        """Log a table as `tables/<name>.json`."""
        path = f"tables/{name}.json"
        self.text(path, table.json())
        self._tables = [*(one for one in self._tables if one["path"] != path), {"path": path, "type": "table"}]
        self.tag(**{LOGGED: json.dumps(self._tables)})

    def text(self, name: str, content: str) -> None:
        self.content(name, content.encode())

    def content(self, name: str, content: bytes) -> None:
        """Log an artifact at the path `name`."""
        path = Path(name)
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / path.name
            target.write_bytes(content)
            self._artifact(target, str(path.parent) if path.parent != Path() else "")

    def _artifact(self, path: Path, to: str) -> None:
        self._send(
            lambda: self.client.log_artifact(self.id, str(path), to or None), lambda: self.spool.add_file(path, to)
        )

    def model(self, folder: Path, entry: Entry | None, measure: Measure | None = None) -> str:
        """Log the folder of an MLflow model, and register it by `entry`; returns its URI. If the store refuses it,
        returns the folder, which is kept until `millstream doctor --send` has logged it."""
        address = self._send(
            lambda: log_model(self.client, self.id, folder, entry, measure), lambda: self.spool.add_model(folder, entry)
        )
        if address is None:
            sys.stderr.write(f"{self._reason}\nthe model is kept in {folder}\n")
        return address or str(folder)

    def hand_over(self) -> None:
        """Let another process continue the run, without ending it."""
        self.spool.close(self.client)
        self.lease.release()
        self._hold.hand_over()
        self._is_handed_over = True

    def finish(
        self, status: str = "FINISHED", tags: Mapping[str, str] | None = None, wait_s: float = CLOSE_WITHIN_S
    ) -> bool:
        """End the run; False if the store was down, full, or refused something, which then stays in the spool."""
        if self.lease.is_lost:  # the run and its end are the other process's
            self.spool.close(self.client, wait_s=0)
            self._hold.release()
            return True
        arrived = self.spool.close(self.client, status, tags, wait_s)
        self.lease.release() if arrived else self.lease.stop()
        self._hold.release()
        return arrived

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_handed_over:
            return
        if not (self.finish() if error is None else self._break_off(error)):
            sys.stderr.write(f"{self._reason}\nwhat it did not take is kept in {self.spool.file}; ")
            sys.stderr.write("`millstream doctor --send` sends it, the model too\n")

    def _break_off(self, error: BaseException) -> bool:
        """End the run with the reason and the command that resumes it (tags `ENDED`)."""
        # a full disk counts as stopped: the run can be resumed once there is space
        stopped = isinstance(error, KeyboardInterrupt | SystemExit | Stopped | BadEnvironment) or is_full(error)
        tags = {"ended": f"{type(error).__name__}: {error}"[:500], "go_on": self.go_on[:MAX_TAG_VAL_LENGTH]}
        return self.finish("KILLED" if stopped else "FAILED", tags, LEAVE_WITHIN_S)
