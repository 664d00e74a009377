"""Residuals of a regression."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from millstream.tracking.figures.style import COLOURS


def residuals(predicted_N: NDArray[Any], true_N: NDArray[Any], unit: str) -> Figure:
    """Predicted against true values, and a histogram of predicted - true, in `unit`."""
    figure = Figure(figsize=(9.6, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    predicted_N, true_N = predicted_N.ravel(), true_N.ravel()
    ends = [min(predicted_N.min(), true_N.min()), max(predicted_N.max(), true_N.max())]
    left.plot(ends, ends, color="grey", linewidth=1)
    left.scatter(true_N, predicted_N, s=8, alpha=0.5, color=COLOURS[0], edgecolors="none")
    right.hist(predicted_N - true_N, bins=min(60, max(10, int(np.sqrt(len(predicted_N))))), color=COLOURS[0])
    right.axvline(0, color="grey", linewidth=1)
    named = f" ({unit})" if unit else ""
    for axes, x, y in ((left, f"true{named}", f"predicted{named}"), (right, f"predicted - true{named}", "rows")):
        axes.set_xlabel(x, parse_math=False)
        axes.set_ylabel(y, parse_math=False)
        axes.spines[["top", "right"]].set_visible(False)
    return figure
