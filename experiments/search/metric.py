"""Objective of a search: its metric and direction."""

from __future__ import annotations

from millstream.tracking.errors import WrongRecipe
from millstream.tracking.recipe.schema import Direction, Located
from millstream.training.assembly.build import parts_of


def metric_of(located: Located, metric: str | None) -> str:
    """The metric's name. Default: that of the recipe's first pass mark, on validation; without one `fit.monitor`."""
    return metric or _marked(located) or parts_of(located).fit.monitor


def direction_of(located: Located, metric: str) -> Direction:
    """The metric's direction: that of `fit` for the monitored metric, else as the task declares it.

    Raises WrongRecipe for a metric without a declared direction.
    """
    parts = parts_of(located)
    if metric == parts.fit.monitor and parts.fit.direction is not None:
        return parts.fit.direction
    found: Direction | None = parts.task.direction(metric)
    if found is None:
        message = f"the task {located.section('task')['name']} declares no direction of it; add --direction min or max"
        raise WrongRecipe.at(f"--metric {metric}", message)
    return found


def _marked(located: Located) -> str | None:
    marked = next(iter(located.recipe.marks), None)
    return None if marked is None else f"valid/{marked.rpartition('/')[2]}"
