"""Leaderboard of models trained on one dataset version, each evaluated again on the same test rows."""

from __future__ import annotations

import timeit
from collections.abc import Callable, Sequence
from functools import partial

import torch

from millstream.tracking.comparison.finished_runs import Finished, check_together, newest, of_model, together
from millstream.tracking.comparison.leaderboard import Measured, Placed, chosen, log, placed
from millstream.tracking.dataset.version import Dataset
from millstream.tracking.errors import WrongRecipe
from millstream.tracking.runs import model_logging
from millstream.tracking.runs.aliases import MODEL
from millstream.tracking.settings import Settings
from millstream.training.assembly import model_folder
from millstream.training.assembly.data_source import DatasetSource
from millstream.training.callbacks.row_outcomes import RowOutcomes
from millstream.training.loop.evaluate import dataset_of, measure
from millstream.training.serving.model import ROWS_AT_ONCE

MOST_TIMED, TIMES = 10_000, 5
"""Rows whose prediction is timed, and repetitions: the minimum is the least disturbed time."""


def compare(
    settings: Settings,
    named: Sequence[str],
    *,
    metric: str | None = None,
    budget: str | None = None,
    say: Callable[[str], None],
) -> list[Placed]:
    """The newest finished run of each recipe and the models `models:/...` in `named`, best first.

    Without `named`, a leaderboard of the newest runs for each dataset version. Logged metrics are not used: each model
    is loaded and predicts all test rows again.
    Raises WrongRecipe when they share no dataset version, BadData when the version or a model is gone.
    """
    recipes = [name for name in named if not name.startswith(MODEL)]
    runs = newest(settings, recipes, budget) if recipes or not named else []
    runs += [of_model(name, settings) for name in named if name.startswith(MODEL)]
    if named:
        check_together(runs, recipes, budget)
    groups = [runs] if named else together(runs)
    if not groups:
        raise WrongRecipe.at("compare", "no two recipes have finished runs on one dataset version; run some first")
    board = []
    for group in groups:
        board += log(ranked(group, settings, metric=metric, say=say), settings)
    return board


def ranked(
    group: Sequence[Finished], settings: Settings, *, metric: str | None, say: Callable[[str], None]
) -> list[Placed]:
    """Runs on one dataset version, best first, each model loaded and evaluated again."""
    measured = []
    for at, run in enumerate(group, 1):
        say(f"{run.dataset}/{run.version}: {run.recipe} ({at} of {len(group)})")
        measured.append(_measured(run, settings))
    return placed(measured, chosen(measured, metric))


def _measured(run: Finished, settings: Settings) -> Measured:
    model = model_folder.load(model_logging.model_folder(run.model_uri, settings))
    if model.manifest is None:
        raise WrongRecipe.at(f"recipe {run.recipe}", "was trained in an environment: there are no rows to compare on")
    dataset, outcomes = dataset_of(model.manifest, settings), RowOutcomes()
    evaluated = measure(model, dataset, watching=[outcomes])
    return Measured(
        run=run,
        metrics={name.removeprefix("test/"): value for name, value in evaluated.metrics.items()},
        outcomes=outcomes.sorted(),
        directions={**model.task.directions, "loss": "min"},
        rows=evaluated.rows,
        score_seconds=_score_seconds(model, dataset),
    )


def _score_seconds(model: model_folder.Model, dataset: Dataset) -> float:
    """Prediction time in seconds per row, in this process and in serving's batch size, without the feed."""
    # empty slots are neither allocated nor, below, predicted: datasets of large images have few rows
    at_once = min(ROWS_AT_ONCE, dataset.manifest.splits["test"].rows)
    fit = model.task.fit.model_copy(update={"batch_size": at_once, "lanes": None})
    rows, seconds = 0, 0.0
    with torch.no_grad():
        for batch in DatasetSource(dataset, model.task.signature, fit).in_order("test"):
            inputs = batch.present().arguments
            seconds += min(timeit.repeat(partial(model.task.predict, *inputs), number=1, repeat=TIMES))
            rows += len(inputs[0])
            if rows >= MOST_TIMED:
                break
    return seconds / rows
