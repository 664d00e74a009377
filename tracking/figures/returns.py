"""Returns of episodes during reinforcement learning."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from millstream.tracking.figures.style import COLOURS, panel

SMOOTHED = 20


def returns(course: Sequence[Sequence[float]]) -> Figure:
    """Return of each episode over environment steps, and the mean over the last 20."""
    steps, totals = np.array(course, dtype=float).T
    figure, axes = panel(title="return of episodes while learning")
    axes.plot(steps, totals, color=COLOURS[5], linewidth=0.8, label="episode")
    if len(totals) >= SMOOTHED:
        smooth = np.convolve(totals, np.ones(SMOOTHED) / SMOOTHED, mode="valid")
        axes.plot(steps[SMOOTHED - 1 :], smooth, color=COLOURS[0], label=f"mean of {SMOOTHED}")
    axes.set_xlabel("step in the environment")
    axes.set_ylabel("return")
    axes.legend(frameon=False)
    return figure
