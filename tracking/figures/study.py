"""Results of all combinations of a study, with learning curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from millstream.tracking.figures.style import COLOURS, plain, short

REPEATED = "fit.seed"
"""Axis of repetitions: shown as mean and range, not as a difference."""
Labels = Mapping[str, str]
Rows = Sequence[tuple[Labels, Mapping[str, float]]]
Course = Sequence[tuple[float, float]]


def study(
    axes: Mapping[str, Sequence[str]],
    rows: Rows,
    metrics: Sequence[str],
    curves: Sequence[tuple[Labels, Course]] = (),
    *,
    curve: str = "",
    log: bool = False,
) -> Figure:
    """A panel per metric over the first axis, a line or bar per value of the others; then the curves of `curve`.

    Combinations without a number (failed training) have no point. Seeds are shown as mean and range.
    """
    shown = [name for name in axes if name != REPEATED] or list(axes)
    first, others = shown[0], shown[1:]
    numbers = [_number(label) for label in axes[first]]
    panels = len(metrics) + bool(curve)
    figure = Figure(figsize=(5.4 * panels, 4.2), layout="constrained")
    drawn = figure.subplots(1, panels, squeeze=False)[0]
    for panel, metric in zip(drawn, metrics, strict=False):
        series = _series(axes[first], first, others, rows, metric)
        if all(number is not None for number in numbers) and len(numbers) > 2:
            _lines(panel, [float(number or 0) for number in numbers], series, log=log)
        else:
            _bars(panel, axes[first], series)
        panel.set_xlabel(first, parse_math=False)
        panel.set_ylabel(metric, parse_math=False)
    if curve:
        _courses(drawn[-1], shown, curves, curve)
    for panel in drawn:
        panel.spines[["top", "right"]].set_visible(False)
        plain(panel)
        if panel.get_legend_handles_labels()[0]:
            legend = panel.legend(frameon=False, fontsize=7)
            for text in legend.get_texts():
                text.set_parse_math(False)
    return figure


def _series(
    labels: Sequence[str], first: str, others: Sequence[str], rows: Rows, metric: str
) -> dict[str, list[list[float]]]:
    """Per combination of the other axes, the values at each label of the first axis, one per repetition."""
    series: dict[str, list[list[float]]] = {}
    for labelled, metrics in rows:
        values = series.setdefault(_name(labelled, others), [[] for _ in labels])
        value = metrics.get(metric, math.nan)
        if math.isfinite(value):
            values[labels.index(labelled[first])].append(value)
    return series


def _lines(panel: Axes, numbers: Sequence[float], series: Mapping[str, list[list[float]]], *, log: bool) -> None:
    for at, (name, values) in enumerate(series.items()):
        means, spread = _spread(values)
        panel.errorbar(numbers, means, spread, marker="o", color=_colour(at, len(series)), label=name, capsize=3)
    if log:
        panel.set_xscale("log")
        panel.set_xticks(numbers, [f"{number:g}" for number in numbers])
        panel.minorticks_off()


def _bars(panel: Axes, labels: Sequence[str], series: Mapping[str, list[list[float]]]) -> None:
    width = 0.8 / len(series)
    for at, (name, values) in enumerate(series.items()):
        means, spread = _spread(values)
        places = np.arange(len(labels)) + (at - (len(series) - 1) / 2) * width
        # a single series is coloured like the curves in the next panel
        alone = [_colour(label, len(labels)) for label in range(len(labels))]
        colour = alone if len(series) == 1 else _colour(at, len(series))
        panel.bar(places, means, width * 0.95, yerr=spread, color=colour, label=name, capsize=3)
        for place, mean in zip(places, means, strict=True):
            if math.isfinite(mean):
                text = panel.annotate(f"{mean:.3g}", (float(place), 0), (0, 3), textcoords="offset points", fontsize=7)
                text.set(ha="center", bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8})
    panel.set_xticks(range(len(labels)), [short(label) for label in labels], rotation=30, ha="right")


def _courses(panel: Axes, shown: Sequence[str], curves: Sequence[tuple[Labels, Course]], curve: str) -> None:
    """Mean over repetitions at the steps they share."""
    grouped: dict[str, list[dict[float, float]]] = {}
    for labelled, course in curves:
        grouped.setdefault(_name(labelled, shown), []).append(dict(course))
    for at, (name, courses) in enumerate(grouped.items()):
        steps = sorted(set.intersection(*(set(course) for course in courses)))
        means = [float(np.mean([course[step] for course in courses])) for step in steps]
        panel.plot(steps, means, color=_colour(at, len(grouped)), label=name, linewidth=1.2)
    panel.set_xlabel("step")
    panel.set_ylabel(curve, parse_math=False)


def _spread(values: list[list[float]]) -> tuple[list[float], Any]:
    means = [float(np.mean(repetitions)) if repetitions else math.nan for repetitions in values]
    below = [mean - min(repetitions) if repetitions else 0.0 for mean, repetitions in zip(means, values, strict=True)]
    above = [max(repetitions) - mean if repetitions else 0.0 for mean, repetitions in zip(means, values, strict=True)]
    return means, ([below, above] if any(len(repetitions) > 1 for repetitions in values) else None)


def _name(labelled: Labels, axes: Sequence[str]) -> str:
    return ", ".join(short(labelled[axis]) if len(axes) == 1 else f"{axis} {short(labelled[axis])}" for axis in axes)


def _colour(at: int, count: int) -> Any:
    return COLOURS[at] if count <= len(COLOURS) else colormaps["turbo"](at / max(1, count - 1))


def _number(label: str) -> float | None:
    try:
        return float(label)
    except ValueError:
        return None
