"""Learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from millstream.tracking.figures.style import COLOURS

COLUMNS = 2
"""As wide as MLflow shows a figure without making its text too small."""
Course = Sequence[Sequence[float]]


def learning_curves(curves: Mapping[str, Course]) -> Figure:
    """One panel per metric, with `train/` and `valid/`; a curve is a sequence of (step, value)."""
    metrics = sorted({name.partition("/")[2] for name in curves}, key=lambda one: (one != "loss", one))
    rows, columns = -(-len(metrics) // COLUMNS), min(COLUMNS, len(metrics))
    figure = Figure(figsize=(3.8 * columns, 3.0 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, metric in zip(panels, metrics, strict=False):
        for colour, stage in zip(COLOURS, ("train", "valid"), strict=False):
            course = curves.get(f"{stage}/{metric}")
            if course:
                steps, values = zip(*course, strict=True)
                axes.plot(steps, values, color=colour, label=stage, marker="." if len(steps) < 30 else "")
        axes.set_title(metric, parse_math=False)
        axes.set_xlabel("step")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    for axes in panels[len(metrics) :]:
        axes.axis("off")
    return figure
