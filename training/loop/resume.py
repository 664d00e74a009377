"""The run that a training belongs to: a new one, or one that was broken off."""

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
from millstream.tracking.runs.mlflow_store import experiment, open_store
from millstream.tracking.runs.run import Run, named, out_of_reach
from millstream.tracking.settings import Settings
from millstream.training.assembly.build import parts_of
from millstream.training.assembly.data_source import source_of
from millstream.training.checkpoints import archive
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
    """The newest unfinished run of the same recipe, data and code, to go on with, or else (and with `fresh`) a new one.

    A run is unfinished when it was killed or stopped from outside and left a checkpoint; one that failed is not, as it
    would fail again. Where torchrun has `restarted` its processes, `fresh` was meant for the first start: then the very
    newest run, which is that one's, is gone on with.
    """
    same = {"identity": identity(located, dataset)}
    found = None
    if restarted or not fresh:
        found = Run.unfinished(settings, located, same, _has_state, only_newest=fresh)
    if found is not None:
        step = archive.step_of(archive.newest_first(found.folder)[0])
        say(f"run {found.id} was broken off and goes on from step {step}; --fresh starts anew")
        return found
    if not fresh:
        report_out_of_reach(located, settings, dataset, say)
    return _said(Run.start(settings, located, parent=parent), say)


def report_out_of_reach(
    located: Located, settings: Settings, dataset: Dataset | None, say: Callable[[str], None]
) -> None:
    """Say that another run of the same recipe, data and code was broken off whose state is not here: it is lost, or on
    another host."""
    found = list(out_of_reach(settings, located, {"identity": identity(located, dataset)}, _has_state))
    if found:
        more = f" (and {len(found) - 1} before it)" if found[1:] else ""
        say(f"{found[0]}{more}: a new run begins")


def again(
    located: Located, settings: Settings, dataset: Dataset | None, run_id: str, *, say: Callable[[str], None]
) -> Run:
    """The named run, to go on with from its last checkpoint; or a run of its own that does.

    A run that is finished stays as it is, and so does one of other settings than these: a run's params and the model
    registered from it are those of one training. Raises WrongRecipe when the run left no checkpoint here, or one of
    another recipe or dataset version; TrainingFailed when all of them are damaged.
    """
    client = open_store(settings)
    run_lock.reap(client, settings, [experiment(client, settings, located.name)])
    before = named(client, located, run_id)
    if "identity" not in before.data.tags:  # its training has not begun: it was handed over by who prepared its data
        return _said(Run.resume(settings, located, run_id), say)
    folder = settings.checkpoints / run_id
    newest = archive.newest_whole(folder, say)
    if newest is None:
        told = f"no checkpoint of it is in {folder} (it was trained on host {before.data.tags.get('hosts')}, and has "
        raise WrongRecipe.at(f"--resume {run_id}", f"{told}none, or they are gone); leave --resume out to train anew")
    source = source_of(located, parts_of(located), dataset)
    Provenance.of(located, source.identity).check(archive.load(newest).get(KEY, {}))
    is_finished = before.info.status == "FINISHED"
    if not is_finished and before.data.tags.get("settings") == located.fingerprint:
        return _said(Run.resume(settings, located, run_id), say)
    why = "is finished and stays as it is" if is_finished else "has other settings"
    say(f"run {run_id} {why}: a run of its own goes on from step {archive.step_of(newest)}")
    same = {"identity": identity(located, dataset), "resumed_from": run_id}
    own = Run.unfinished(settings, located, same, _has_state)
    if own is None:
        own = Run.start(settings, located)
        own.tag(resumed_from=run_id)
        for path in (newest, folder / archive.BEST):
            archive.copy(path, own.folder)
        own.resumed = True
    return _said(own, say)


def _said(run: Run, say: Callable[[str], None]) -> Run:
    say(f"run {run.id}")
    return run


def identity(located: Located, dataset: Dataset | None) -> str:
    """Names runs by all that they follow from: the recipe as it was resolved, the dataset version, the code."""
    return hashlib.sha256(json.dumps(facts(located, dataset), sort_keys=True).encode()).hexdigest()


def facts(located: Located, dataset: Dataset | None) -> dict[str, str]:
    """What must be the same for all ranks of a run, and over its restarts."""
    return {
        "recipe": located.fingerprint,
        "dataset version": dataset.manifest.version if dataset else "none",
        "torch": torch.__version__,
        "code": _code()[:16],
    }


def _has_state(folder: Path) -> bool:
    return bool(archive.newest_first(folder))


def _code() -> str:
    """Hex SHA-256 of the sources that training runs; a version number would not tell of an edit."""
    digest = hashlib.sha256()
    for file in sorted(file for package in CODE for file in (ROOT / package).rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()
