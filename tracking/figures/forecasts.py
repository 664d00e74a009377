"""Forecasts of test windows, and their error by the number of steps ahead.

Axes: L steps of the past, H of the future, C channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from millstream.tracking.figures.style import COLOURS, panel

PAST = 2
"""Steps of the past that are shown, as a multiple of the horizon."""


def forecasts(windows: Sequence[Sequence[NDArray[Any]]]) -> Figure:
    """The last channel of each window: (past (L, C), true future (H, C), forecast (H, C))."""
    figure = Figure(figsize=(7.6, 2.2 * len(windows)), layout="constrained")
    for axes, (past_LC, true_HC, forecast_HC) in zip(
        figure.subplots(len(windows), 1, squeeze=False).ravel(), windows, strict=True
    ):
        horizon = len(true_HC)
        shown_L = past_LC[-PAST * horizon :, -1]
        axes.plot(np.arange(-len(shown_L), 0), shown_L, color="grey", label="past")
        axes.plot(np.arange(horizon), true_HC[:, -1], color=COLOURS[0], label="future")
        axes.plot(np.arange(horizon), forecast_HC[:, -1], color=COLOURS[3], label="forecast")
        axes.axvline(-0.5, color="grey", linewidth=0.5)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].legend(frameon=False, ncols=3, loc="upper left", fontsize=9)
    figure.axes[-1].set_xlabel("steps from the last known value")
    return figure


def error_by_horizon(errors: Mapping[str, NDArray[Any]]) -> Figure:
    """Mean squared error (H,) of each forecaster at each number of steps ahead."""
    figure, axes = panel(title="error by horizon")
    for colour, (name, error_H) in zip(COLOURS, errors.items(), strict=False):
        axes.plot(
            np.arange(1, len(error_H) + 1), error_H, color=colour, label=name, marker="." if len(error_H) < 3 else ""
        )
    axes.set_xlabel("steps ahead")
    axes.set_ylabel("mean squared error")
    axes.legend(frameon=False)
    return figure
