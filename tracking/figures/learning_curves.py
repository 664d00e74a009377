"""Learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from millstream.tracking.figures.style import COLOURS

Course = Sequence[Sequence[float]]


def learning_curves(curves: Mapping[str, Course]) -> Figure:
    """One panel per metric, with `train/` and `valid/`; a curve is a sequence of (step, value)."""
    metrics = sorted({name.partition("/")[2] for name in curves}, key=lambda one: (one != "loss", one))
    figure = Figure(figsize=(5.2 * min(3, len(metrics)), 3.8 * -(-len(metrics) // 3)), layout="constrained")
    panels = figure.subplots(-(-len(metrics) // 3), min(3, len(metrics)), squeeze=False).ravel()
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
