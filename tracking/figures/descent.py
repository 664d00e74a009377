"""Optimization path of two weights on their loss surface."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from millstream.tracking.figures.style import COLOURS, panel

LEVELS = 18


def descent(
    loss_YX: NDArray[Any], x: NDArray[Any], y: NDArray[Any], path_S2: NDArray[Any], names: tuple[str, str]
) -> Figure:
    """Loss contours over x and y, and the path from the first weights (circle) to the last (star).

    Contours are evenly spaced in the logarithm of the loss above the grid's minimum.
    """
    figure, axes = panel(6.4, 4.8, title=f"{len(path_S2) - 1} steps, loss {loss_YX.min():.3g} at its least")
    above_YX = loss_YX - loss_YX.min()
    least = np.partition(above_YX, 1, axis=None)[1]  # the minimum itself has no logarithm
    levels = np.geomspace(max(least, 1e-12), max(above_YX.max(), 2e-12), LEVELS)
    axes.contour(x, y, above_YX, levels=levels, cmap="viridis", linewidths=0.8)
    axes.plot(*path_S2.T, color=COLOURS[3], linewidth=1.2, marker=".", markersize=2)
    for place, marker in ((path_S2[0], "o"), (path_S2[-1], "*")):
        axes.plot(*place, marker=marker, color=COLOURS[3], markersize=10)
    axes.set_xlabel(names[0], parse_math=False)
    axes.set_ylabel(names[1], parse_math=False)
    return figure
