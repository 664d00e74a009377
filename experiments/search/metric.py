"""Objective of a search: its metric and direction."""

from __future__ import annotations

from millstream.tracking.comparison.leaderboard import LESS_IS_BETTER
from millstream.tracking.recipe.schema import Located
from millstream.training.config.fit import Fit


def metric_of(located: Located, metric: str | None, direction: str | None) -> tuple[str, bool]:
    """The metric's name, and whether it is maximized.

    Default: the metric of the recipe's first pass mark, on validation; without a pass mark `fit.monitor`.
    """
    fit = Fit.model_validate(located.section("fit"))
    named = metric or _marked(located) or fit.monitor
    if direction is not None:
        return named, direction == "max"
    last = named.rpartition("/")[2]
    for marked, mark in located.recipe.marks.items():
        if marked.rpartition("/")[2] == last:
            return named, mark.strip().startswith(">")
    if named == fit.monitor:
        return named, fit.looks_for_most
    return named, last not in LESS_IS_BETTER


def _marked(located: Located) -> str | None:
    marked = next(iter(located.recipe.marks), None)
    return None if marked is None else f"valid/{marked.rpartition('/')[2]}"
