"""Learning rate range test."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from millstream.tracking.figures.style import COLOURS, panel


def rate_range(course: Sequence[tuple[float, float]], chosen: float) -> Figure:
    """Smoothed losses by learning rate, from rows of (rate, loss); the chosen rate is marked."""
    rates, losses = zip(*course, strict=True)
    figure, axes = panel(title="range test")
    axes.plot(rates, losses, color=COLOURS[0])
    axes.axvline(chosen, color=COLOURS[3], label=f"{chosen:.2g}")
    axes.set_xscale("log")
    axes.set_ylim(min(losses), min(max(losses), 2 * losses[0]))
    axes.set_xlabel("learning rate")
    axes.set_ylabel("loss, smoothed")
    axes.legend(frameon=False)
    return figure
