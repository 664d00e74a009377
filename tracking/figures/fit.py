"""A function of one variable, and a model's prediction."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from millstream.tracking.figures.style import COLOURS, panel


def fit(
    x_N: NDArray[Any],
    true_N: NDArray[Any],
    predicted_N: NDArray[Any],
    names: tuple[str, str],
    *,
    band: tuple[NDArray[Any], NDArray[Any]] | None = None,
    title: str = "",
) -> Figure:
    """Rows as points, the predicted curve, and the `band` (lower and upper ends) of the prediction interval."""
    figure, axes = panel(title=title)
    order = np.argsort(x_N.ravel())
    x_N, true_N, predicted_N = (one.ravel()[order] for one in (x_N, true_N, predicted_N))
    axes.scatter(x_N, true_N, s=8, alpha=0.5, color="grey", edgecolors="none", label="rows")
    if band is not None:
        low_N, high_N = (one.ravel()[order] for one in band)
        axes.fill_between(x_N, low_N, high_N, color=COLOURS[0], alpha=0.2, linewidth=0)
    axes.plot(x_N, predicted_N, color=COLOURS[0], label="predicted")
    axes.set_xlabel(names[0], parse_math=False)
    axes.set_ylabel(names[1], parse_math=False)
    axes.legend(frameon=False)
    return figure
