"""Leaderboard: metric, confidence interval and speed of models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from millstream.tracking.figures.style import COLOURS, plain

SIGNIFICANT = 0.05


def leaderboard(rows: Sequence[Any]) -> Figure:
    """The metric with its 95 % interval, seconds of training and of scoring a row; rows of
    `tracking.comparison.leaderboard`.

    The best model and those not significantly different from it are dark.
    """
    figure = Figure(figsize=(11, 1.6 + 0.45 * len(rows)), layout="constrained")
    left, middle, right = figure.subplots(1, 3, sharey=True, width_ratios=[2, 1, 1])
    first, places = rows[0], range(len(rows))
    for at, row in enumerate(rows):
        if row.low is not None:
            left.plot([row.low, row.high], [at, at], color=_colour(row), linewidth=2)
    _points(left, rows, [row.value for row in rows])
    _points(middle, rows, [row.train_seconds for row in rows])
    _points(right, rows, [1e6 * row.score_seconds for row in rows])
    left.set_xlabel(f"{first.metric} on {first.rows:,} test rows; line: 95 % of resamples", parse_math=False)
    left.set_yticks(places, [row.recipe for row in rows])
    left.set_ylim(len(rows) - 0.4, -0.6)
    for axes, label in ((middle, "seconds of training"), (right, "microseconds to score a row")):
        axes.set_xscale("log")
        axes.margins(x=0.3)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel(label)
    for axes in (left, middle, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", linewidth=0.4)
        plain(axes)
    title = f"{first.dataset}/{first.version}; light: differs from the best (p < {SIGNIFICANT})"
    figure.suptitle(title, fontsize=9, parse_math=False)
    return figure


def _points(axes: Axes, rows: Sequence[Any], values: Sequence[float | None]) -> None:
    for at, (row, value) in enumerate(zip(rows, values, strict=True)):
        if value is not None:
            axes.plot(value, at, "o", color=_colour(row))
            axes.annotate(f"{value:.4g}", (value, at), (0, 6), textcoords="offset points", ha="center", fontsize=7)


def _colour(row: Any) -> str:
    against = row.against_best
    return COLOURS[5] if against and against.p_adjusted < SIGNIFICANT else COLOURS[0]
