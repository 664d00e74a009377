"""Hyperparameter search over a recipe's fields: sequential trials as nested runs of one parent."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from millstream.experiments import nested_runs
from millstream.experiments.nested_runs import Options, Row, Say
from millstream.experiments.search.space import Range, Space
from millstream.experiments.search.trials import Trial
from millstream.tracking.errors import TrainingFailed, WrongRecipe
from millstream.tracking.figures.search import search as figure
from millstream.tracking.recipe import plugins
from millstream.tracking.recipe.schema import Located
from millstream.tracking.runs.run import Run

STRATEGIES = "millstream.experiments.search.strategies"


@dataclass(frozen=True)
class Search:
    """Objective, search space and strategy."""

    base: Located
    space: Space
    strategy: str
    seed: int
    metric: str
    largest: bool
    """Whether the metric is maximized."""
    again: str
    """The command that resumes it."""
    recipe: Callable[[Mapping[str, Any]], Located]
    """The recipe with these values. Raises WrongRecipe when they are not valid together."""

    @property
    def facts(self) -> dict[str, Any]:
        """Facts besides the recipe that must be equal for a search to reuse the trials of another."""
        space = {name: range_.model_dump(mode="json") for name, range_ in self.space.fields.items()}
        return {"space": space, "strategy": self.strategy, "seed": self.seed, "metric": self.metric}


class Best(BaseModel, frozen=True):
    values: dict[str, Any]
    value: float
    run_id: str


class Searched(BaseModel, frozen=True):
    recipe: str
    run_id: str
    best: Best
    trials: list[Row]
    metric: str
    largest: bool
    strategy: str
    figure: str
    table: str
    words: list[str]
    """Arguments for `millstream run`, after the recipe, that train with the best values."""


def run_search(search: Search, trials: int, options: Options, *, say: Say) -> Searched:
    """Runs `trials` trainings; those that an earlier search of the same recipe, fields and code finished are reused.

    A strategy sees only the points and losses of the earlier trials, so that an interrupted search ends as an
    uninterrupted one would have. No trial uses the test split.
    Raises TrainingFailed when all trials failed, WrongRecipe when they do not measure the metric.
    """
    propose = plugins.find(STRATEGIES, search.strategy).propose
    again: dict[str, Any] = {"fresh": options.fresh, "again": search.again, "say": say}
    with nested_runs.parent("search", search.base, options.settings, more=search.facts, **again) as parent:
        rows: list[Row] = []
        earlier: list[Trial] = []
        began, ran = time.monotonic(), 0
        for at in range(trials):
            point = propose(search.space, earlier, search.seed)
            values = search.space.values(point)
            row, was_run = _trial(search, values, parent, options)
            rows.append(row)
            earlier.append(Trial(point, _loss(search, row)))
            ran += was_run
            left = (time.monotonic() - began) / ran * (trials - at - 1) if ran else 0.0
            say(f"{at + 1} of {trials}: {_summary(search, row)}" + (f"; about {left:.0f} s to go" if left else ""))
        best = _best(search, rows, earlier)
        parent.figure("search", _figure(search, rows))
        parent.text("trials.csv", nested_runs.table(rows, [*search.space.fields, search.metric]))
        parent.tag(trials=str(trials), failed=str(sum(row.failed is not None for row in rows)))
        parent.metrics({f"best/{search.metric.rpartition('/')[2]}": best.value})
    where = nested_runs.folder(parent)
    chosen = [word for setting in (*search.base.sets, *sets(best.values)) for word in ("--set", setting)]
    return Searched(
        recipe=search.base.words[0],
        run_id=parent.id,
        best=best,
        trials=rows,
        metric=search.metric,
        largest=search.largest,
        strategy=search.strategy,
        figure=f"{where}/figures/search.png",
        table=f"{where}/trials.csv",
        words=["--budget", search.base.budget, *chosen],
    )


def sets(values: Mapping[str, Any]) -> list[str]:
    """Arguments of `--set` for these values: `fit.optimizer.lr=0.01`."""
    return [f"{field}={json.dumps(value)}" for field, value in values.items()]


def _trial(search: Search, values: Mapping[str, Any], parent: Run, options: Options) -> tuple[Row, bool]:
    """The row of these values, and whether it was trained now rather than reused."""
    try:
        recipe = search.recipe(values)
    except WrongRecipe as wrong:
        return nested_runs.failed(values, str(wrong)), False
    row = nested_runs.finished(parent, recipe, values, options)
    return (row, False) if row is not None else (nested_runs.run(parent, recipe, values, options), True)


def _loss(search: Search, row: Row) -> float:
    if row.failed:
        return math.inf
    if search.metric not in row.metrics:
        known = plugins.suggest(search.metric, row.metrics)
        raise WrongRecipe.at(f"--metric {search.metric}", f"a trial does not measure it; {known}")
    value = row.metrics[search.metric]
    if not math.isfinite(value):
        return math.inf
    return -value if search.largest else value


def _best(search: Search, rows: Sequence[Row], earlier: Sequence[Trial]) -> Best:
    at = min(range(len(rows)), key=lambda at_row: earlier[at_row].loss)
    row = rows[at]
    if earlier[at].loss == math.inf:
        raise TrainingFailed.at(
            "search", f"none of {len(rows)} trials came to a number; the first one: {rows[0].failed}"
        )
    return Best(values=row.values, value=row.metrics[search.metric], run_id=row.run_id)


def _summary(search: Search, row: Row) -> str:
    values = ", ".join(sets(row.values))
    return (
        f"{values}: failed: {row.failed}"
        if row.failed
        else f"{values}: {search.metric} {row.metrics[search.metric]:.5g}"
    )


def _figure(search: Search, rows: Sequence[Row]) -> Any:
    logarithmic = [name for name, range_ in search.space.fields.items() if isinstance(range_, Range) and range_.log]
    points = [(row.values, row.metrics.get(search.metric)) for row in rows]
    return figure(points, search.metric, largest=search.largest, log=logarithmic)
