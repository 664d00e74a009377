"""Trials of a hyperparameter search: in order, and by each field."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from millstream.tracking.figures.style import COLOURS, plain, short

MOST = 5
"""Maximum number of fields with a panel."""


def search(
    trials: Sequence[tuple[Mapping[str, Any], float | None]], metric: str, *, largest: bool, log: Collection[str] = ()
) -> Figure:
    """The metric of each trial with the best so far, then a panel per field; failed trials (None) are not shown.

    Later trials are darker, which shows where the strategy converged. `log` names the fields with a logarithmic axis.
    """
    fields = list(trials[0][0])[:MOST]
    value_N = np.array([math.nan if value is None else value for _, value in trials])
    figure = Figure(figsize=(4.4 * (1 + len(fields)), 3.8), layout="constrained")
    drawn = figure.subplots(1, 1 + len(fields), squeeze=False, sharey=True)[0]
    _course(drawn[0], value_N, metric, largest=largest)
    for panel, field in zip(drawn[1:], fields, strict=True):
        _over(panel, [values[field] for values, _ in trials], value_N)
        panel.set_xlabel(field, parse_math=False)
        if field in log:
            panel.set_xscale("log")
            panel.xaxis.set_major_formatter("{x:g}")
            panel.xaxis.set_minor_formatter(NullFormatter())
    for panel in drawn:
        panel.spines[["top", "right"]].set_visible(False)
        plain(panel)
    return figure


def _course(panel: Axes, value_N: Any, metric: str, *, largest: bool) -> None:
    worst = -math.inf if largest else math.inf
    known = np.where(np.isfinite(value_N), value_N, worst)
    so_far = (np.maximum if largest else np.minimum).accumulate(known)
    at_N = np.arange(1, len(value_N) + 1)
    panel.step(
        at_N, np.where(np.isfinite(so_far), so_far, math.nan), where="post", color=COLOURS[0], label="best so far"
    )
    panel.plot(at_N, value_N, "o", color=COLOURS[1], markersize=4, label="trial (to the right: darker the later)")
    panel.set_xlabel("trial")
    panel.set_ylabel(metric, parse_math=False)
    panel.legend(frameon=False, fontsize=8)


def _over(panel: Axes, values: Sequence[Any], value_N: Any) -> None:
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    labels = [] if numbers else sorted({str(value) for value in values})
    places = list(values) if numbers else [labels.index(str(value)) for value in values]
    panel.scatter(places, value_N, c=np.arange(len(values)), cmap="Blues", vmin=-len(values) / 2, edgecolors="grey")
    panel.margins(x=0.15)
    if labels:
        panel.set_xticks(range(len(labels)), [short(value) for value in labels], rotation=30, ha="right")
