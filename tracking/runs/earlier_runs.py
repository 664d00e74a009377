"""Runs of before: which of them can be resumed here, and who works on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from mlflow.entities import Run as MlflowRun

from millstream.tracking.errors import Refusal, WrongRecipe
from millstream.tracking.host import file_access
from millstream.tracking.recipe.schema import Located
from millstream.tracking.runs import lease, run_lock
from millstream.tracking.runs.lease import Holder
from millstream.tracking.runs.metric_spool import file_of, send, set_aside
from millstream.tracking.runs.mlflow_store import Client, experiment, open_store
from millstream.tracking.runs.run_lock import Hold
from millstream.tracking.runs.store_errors import StoreError
from millstream.tracking.settings import Settings


def out_of_reach(
    settings: Settings, located: Located, tags: Mapping[str, str], has_state: Callable[[Path], bool]
) -> Iterator[str]:
    """Runs with these tags that were (or may have been) interrupted but cannot be resumed here, with the reason;
    stops at the newest finished run."""
    client = open_store(settings)
    for stored in with_tags(client, [experiment(client, settings, located.name)], tags):
        folder = settings.checkpoints / str(stored.info.run_id)
        if stored.info.status == "FINISHED":
            return
        name, holder = f"run {stored.info.run_id} of host {host(stored)}", Holder.of(stored)
        if run_lock.may_run_elsewhere(settings, stored) and holder is not None:
            yield f"run {stored.info.run_id} is held by {holder}, and its state is not in {folder.parent}"
        elif run_lock.may_run_elsewhere(settings, stored):
            yield f"{name} is not known to have ended, and its state is not in {folder.parent}"
        elif stored.info.status == "KILLED" and not has_state(folder):
            yield f"{name} was interrupted, and no checkpoint of it is in {folder.parent}"
        elif stored.info.status == "KILLED" and not file_access.is_writable(*run_lock.files(folder)):
            yield f"{name} was interrupted, and {folder} belongs to {file_access.owner(folder)}"


def with_tags(client: Client, experiments: list[str], tags: Mapping[str, str]) -> list[MlflowRun]:
    """Newest first."""
    same = " and ".join(f"tags.{name} = '{value}'" for name, value in tags.items())
    return list(client.search_runs(experiments, same, order_by=["attributes.start_time DESC"]))


def named(client: Client, located: Located, run_id: str) -> MlflowRun:
    """The run of `--resume`. Raises WrongRecipe if no run has this ID, or it belongs to another recipe."""
    try:
        run = client.get_run(run_id)
    except StoreError as error:
        if not error.is_missing:
            raise
        raise WrongRecipe.at(f"--resume {run_id}", "no such run in the store; `millstream ui` shows them") from None
    recipe = run.data.tags.get("recipe")
    if recipe != located.name:
        raise WrongRecipe.at(f"--resume {run_id}", f"is a run of {recipe!r}, not of {located.name!r}")
    return run


def held(settings: Settings, stored: MlflowRun) -> Hold:
    hold = Hold.take(settings.checkpoints / str(stored.info.run_id))
    if hold is None:
        raise is_worked_on(stored)
    return hold


def is_worked_on(stored: MlflowRun) -> Refusal:
    where = Holder.of(stored) or f"host {host(stored)}"
    message = f"another process works on it, on {where}; wait for it, or start with --fresh"
    return WrongRecipe.at(f"run {stored.info.run_id}", message)


def is_free(
    client: Client, settings: Settings, stored: MlflowRun, say: Callable[[str], None], *, handed: bool = False
) -> bool:
    """Whether nobody works on a run as far as its lease shows; waits for the end of one that another host holds.

    A run without a lease that has not ended was handed over, or is of an earlier version.
    """
    if lease.TAG not in stored.data.tags and lease.is_released(stored):
        return handed or bool(stored.info.status != "RUNNING")
    if run_lock.is_conclusive(settings.checkpoints / str(stored.info.run_id), stored):
        return True  # its lock decides
    if stored.info.status == "RUNNING" and lease.TAG in stored.data.tags and run_lock.can_be_checked(settings, stored):
        return False  # its process lives, or the run would have been ended
    return lease.is_over(client, stored, settings.lease_s, say)


def host(stored: MlflowRun) -> str:
    """Host of the last process that worked on a run."""
    return str(stored.data.tags.get("hosts", "unknown"))


def send_left(client: Client, settings: Settings, stored: MlflowRun) -> None:
    """Send the spool of a run that this process holds, including its final status, before it is resumed; one from
    before another host took the run is set aside."""
    run_id = str(stored.info.run_id)
    left = file_of(settings, run_id)
    if run_lock.was_taken_since(settings.checkpoints / run_id, stored):
        set_aside(left)
    elif left.exists():
        try:
            send(client, left)
        except StoreError as error:
            if error.is_gone:
                raise  # refused lines stay spooled and do not block resuming
