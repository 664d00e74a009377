"""Calibration of predictive distributions."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from millstream.tracking.figures.style import COLOURS, panel

BINS = 20


def calibration(ranks_N: NDArray[Any]) -> Figure:
    """PIT histogram: probability (0 to 1) that a row's predictive distribution assigns to values below the true one.

    Flat if calibrated, U-shaped if the distributions are too narrow, hump-shaped if too wide: the probability
    integral transform of Gneiting, Balabdaoui & Raftery 2007, doi:10.1111/j.1467-9868.2007.00587.x.
    """
    figure, axes = panel()
    heights, edges = np.histogram(ranks_N.ravel(), bins=BINS, range=(0, 1))
    axes.bar(edges[:-1], heights, width=1 / BINS, align="edge", color=COLOURS[0], edgecolor="white", linewidth=0.5)
    axes.axhline(ranks_N.size / BINS, color="grey", linewidth=1)
    axes.set_xlabel("predicted probability of a value below the true one")
    axes.set_ylabel("rows")
    return figure
