"""The run of a training: a new one, or an interrupted one to resume."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import torch

from millstream.tracking.dataset.version import Dataset
from millstream.tracking.errors import WrongRecipe
from millstream.tracking.recipe.schema import Located
from millstream.tracking.runs import run_lock
from millstream.tracking.runs.earlier_runs import named, out_of_reach
from millstream.tracking.runs.mlflow_store import experiment, open_store
from millstream.tracking.runs.run import Run
from millstream.tracking.settings import Settings
from millstream.training.assembly.build import parts_of
from millstream.training.assembly.data_source import source_of
from millstream.training.checkpoints import archive, remote_copies
from millstream.training.checkpoints.provenance import KEY, Provenance

CODE = ("training", "tracking")
ROOT = Path(__file__).parents[2]


def begin(
    located: Located,
    settings: Settings,
    dataset: Dataset | None,
    *,
    fresh: bool,
    say: Callable[[str], None],
    parent: str | None = None,
    restarted: bool = False,
) -> Run:
    """The newest unfinished run of the same recipe, data and code, to resume, or else (and with `fresh`) a new one.

    A run is unfinished when it was killed or stopped from outside and left a checkpoint; a failed run is not, as it
    would fail again. Where torchrun has `restarted` its processes, `fresh` applied to the first start: then the very
    newest run, started there, is resumed.
    """
    same = {"identity": identity(located, dataset)}
    found = None
    if restarted or not fresh:
        # the ranks before a restart may have ended before their first checkpoint: theirs is this run nevertheless
        is_left = _is_anywhere(settings) if restarted else _has_state(settings)
        found = Run.unfinished(settings, located, same, is_left, only_newest=fresh, say=say)
    if found is not None:
        step = max(map(archive.step_of, _states(settings, found.id)), default=0)
        say(f"run {found.id} was interrupted and resumes from step {step}; --fresh starts again")
        return found
    if not fresh:
        report_out_of_reach(located, settings, dataset, say)
    run = Run.start(settings, located, parent=parent)
    if dataset is not None:
        run.tag(**same)  # at once: its process may be lost before training begins, and restarted
    return _announced(run, say)


def report_out_of_reach(
    located: Located, settings: Settings, dataset: Dataset | None, say: Callable[[str], None]
) -> None:
    """Report interrupted runs of the same recipe, data and code whose checkpoints are not here: lost, or on another
    host."""
    found = list(out_of_reach(settings, located, {"identity": identity(located, dataset)}, _has_state(settings)))
    if found:
        more = f" (and {len(found) - 1} before it)" if found[1:] else ""
        say(f"{found[0]}{more}: a new run begins")


def again(
    located: Located, settings: Settings, dataset: Dataset | None, run_id: str, *, say: Callable[[str], None]
) -> Run:
    """The named run, to resume from its last checkpoint; or a new run that does.

    A finished run stays unchanged, and so does one with other settings: a run's params and its registered model belong
    to one training. Raises WrongRecipe when the run left no checkpoint here, or one of another recipe or dataset
    version; TrainingFailed when all of them are damaged.
    """
    client = open_store(settings)
    run_lock.reap(client, settings, [experiment(client, settings, located.name)])
    before = named(client, located, run_id)
    if "identity" not in before.data.tags:  # training has not begun: the preparation created the run
        return _announced(Run.resume(settings, located, run_id, say), say)
    folder = settings.checkpoints / run_id
    newest = remote_copies.newest_whole(settings.checkpoint_copies(run_id), folder, say)
    if newest is None:
        message = (
            f"no checkpoint of it is in {folder} (it was trained on host {before.data.tags.get('hosts')}, and has "
        )
        raise WrongRecipe.at(
            f"--resume {run_id}", f"{message}none, or they are gone); leave --resume out to train from the start"
        )
    source = source_of(located, parts_of(located), dataset)
    Provenance.of(located, source.identity).check(archive.load(newest).get(KEY, {}))
    is_finished = before.info.status == "FINISHED"
    if not is_finished and before.data.tags.get("settings") == located.fingerprint:
        return _announced(Run.resume(settings, located, run_id, say), say)
    why = "is finished and stays as it is" if is_finished else "has other settings"
    say(f"run {run_id} {why}: a run of its own resumes from step {archive.step_of(newest)}")
    same = {"identity": identity(located, dataset), "resumed_from": run_id}
    own = Run.unfinished(settings, located, same, _has_state(settings), say=say)
    if own is None:
        own = Run.start(settings, located)
        own.tag(resumed_from=run_id)
        for path in (newest, folder / archive.BEST):
            archive.copy(path, own.folder)
        own.resumed = True
    return _announced(own, say)


def _announced(run: Run, say: Callable[[str], None]) -> Run:
    say(f"run {run.id}")
    return run


def identity(located: Located, dataset: Dataset | None) -> str:
    """Hash of everything that determines a run: resolved recipe, dataset version, torch version, code."""
    return hashlib.sha256(json.dumps(facts(located, dataset), sort_keys=True).encode()).hexdigest()


def facts(located: Located, dataset: Dataset | None) -> dict[str, str]:
    """Facts that must be equal on all ranks of a run, and over its restarts."""
    return {
        "recipe": located.fingerprint,
        "dataset version": dataset.manifest.version if dataset else "none",
        "torch": torch.__version__,
        "code": _code()[:16],
    }


def _has_state(settings: Settings) -> Callable[[Path], bool]:
    return lambda folder: bool(_states(settings, folder.name))


def _is_anywhere(settings: Settings) -> Callable[[Path], bool]:
    """As `_has_state`; with a store of checkpoints also of a run that has none: no other host has any."""
    has_state = _has_state(settings)
    return lambda folder: settings.checkpoint_copies(folder.name) is not None or has_state(folder)


def _states(settings: Settings, run_id: str) -> list[Path]:
    """Checkpoints of a run, here and in the store, by the paths that they have here."""
    folder = settings.checkpoints / run_id
    there = remote_copies.newest_first(settings.checkpoint_copies(run_id))
    return [*archive.newest_first(folder), *(folder / name for name in there)]


def _code() -> str:
    """Hex SHA-256 of the training sources; a version number would not reveal an edit."""
    digest = hashlib.sha256()
    for file in sorted(file for package in CODE for file in (ROOT / package).rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()
