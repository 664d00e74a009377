"""The run that a training belongs to: a new one, or one that was broken off."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import torch

from tracking.dataset import Dataset
from tracking.recipe import Located
from tracking.run import Run
from tracking.settings import Settings
from training import checkpoints

CODE = ("training", "tracking")
ROOT = Path(__file__).parents[1]


def begin(
    located: Located,
    settings: Settings,
    dataset: Dataset | None,
    *,
    fresh: bool,
    say: Callable[[str], None],
    parent: str | None = None,
) -> Run:
    """The newest unfinished run of the same recipe, data and code, to go on with, or else (and with `fresh`) a new one.

    A run is unfinished when it was killed or stopped from outside and left a checkpoint; one that failed is not, as it
    would fail again.
    """
    found = None if fresh else Run.unfinished(settings, located, identity(located, dataset), _has_state)
    if found is not None:
        step = checkpoints.step_of(checkpoints.newest_first(found.folder)[0])
        say(f"run {found.id} was broken off and goes on from step {step}; --fresh starts anew")
        return found
    run = Run.start(settings, located, parent=parent)
    say(f"run {run.id}")
    return run


def identity(located: Located, dataset: Dataset | None) -> str:
    """Names runs by all that they follow from: the recipe as it was resolved, the dataset version, the code."""
    return hashlib.sha256(json.dumps(facts(located, dataset), sort_keys=True).encode()).hexdigest()


def facts(located: Located, dataset: Dataset | None) -> dict[str, str]:
    """What must be the same for all ranks of a run, and over its restarts."""
    recipe = json.dumps(located.resolved(), sort_keys=True)
    return {
        "recipe": hashlib.sha256(recipe.encode()).hexdigest()[:16],
        "dataset version": dataset.manifest.version if dataset else "none",
        "torch": torch.__version__,
        "code": _code()[:16],
    }


def _has_state(folder: Path) -> bool:
    return bool(checkpoints.newest_first(folder))


def _code() -> str:
    """Hex SHA-256 of the sources that training runs; a version number would not tell of an edit."""
    digest = hashlib.sha256()
    for file in sorted(file for package in CODE for file in (ROOT / package).rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()
