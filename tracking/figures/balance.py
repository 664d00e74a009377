"""Rows per class in train before and after rebalancing."""

from __future__ import annotations

from matplotlib.figure import Figure

from millstream.tracking.dataset.class_balance import Plan
from millstream.tracking.figures.style import COLOURS, panel, plain, short

MOST = 40
"""Maximum number of classes shown: half of them the rarest, half the largest."""


def balance(plan: Plan) -> Figure:
    """Two bars per class on a logarithmic scale; with weights the lower bar is rows times weight."""
    names = sorted(plan.before, key=lambda name: plan.before[name])
    if len(names) > MOST:
        names = [*names[: MOST // 2], *names[-MOST // 2 :]]
    weights = plan.weights or dict.fromkeys(names, 1.0)
    title = f"{plan.column}: rows of train by class, {plan.method}"
    figure, axes = panel(height=1.6 + 0.4 * len(names), title=title)
    for at, name in enumerate(names):
        for offset, colour, rows in (
            (0.2, COLOURS[5], plan.before[name]),
            (-0.2, COLOURS[0], plan.after[name] * weights[name]),
        ):
            axes.barh(at + offset, rows, height=0.38, color=colour)
            axes.annotate(f" {rows:,.0f}", (rows, at + offset), va="center", fontsize=7)
    axes.set_xscale("log")
    axes.set_xlim(0.5, 8 * max(*plan.before.values(), *plan.after.values()))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_yticks(range(len(names)), [short(name) for name in names])
    axes.set_xlabel(
        "rows (light), rows times weight afterwards (dark)" if plan.weights else "rows before (light) and after (dark)"
    )
    plain(axes)
    return figure
