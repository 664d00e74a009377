"""Predicted densities of rows, and of points in a plane."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from millstream.tracking.figures.style import COLOURS, panel

GRID = 160
"""Grid points per side of a map."""


def density_map(
    log_density_YX: NDArray[Any], x: NDArray[Any], y: NDArray[Any], points_N2: NDArray[Any], names: tuple[str, str]
) -> Figure:
    """Density on a grid with coordinates x and y, and rows as points; axes are labelled `names`."""
    figure, axes = panel(7.2, 6.0, title="density, and test rows")
    drawn = axes.pcolormesh(x, y, np.exp(log_density_YX), cmap="viridis", shading="auto", rasterized=True)
    figure.colorbar(drawn, label="density")
    axes.scatter(points_N2[:, 0], points_N2[:, 1], s=2, alpha=0.5, color="white", edgecolors="none")
    axes.set_xlabel(names[0], parse_math=False)
    axes.set_ylabel(names[1], parse_math=False)
    return figure


def log_densities(log_density_N: NDArray[Any]) -> Figure:
    """Histogram of log-densities in nats, with the mean marked."""
    figure, axes = panel(title="log-density of test rows")
    axes.hist(log_density_N, bins=min(60, max(10, int(np.sqrt(len(log_density_N))))), color=COLOURS[0])
    axes.axvline(log_density_N.mean(), color=COLOURS[3], label=f"mean {log_density_N.mean():.3f}")
    axes.set_xlabel("log p(x) in nats")
    axes.set_ylabel("rows")
    axes.legend(frameon=False)
    return figure
