"""Variance explained by principal components."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from millstream.tracking.figures.style import COLOURS, panel


def variance_kept(shares_R: NDArray[Any], parts: int) -> Figure:
    """Cumulative share of the variance of the first 1, 2, ... components; the number kept is marked."""
    kept_R = np.cumsum(shares_R)
    figure, axes = panel(title="variance of train rows kept by the first parts")
    axes.plot(np.arange(1, len(kept_R) + 1), kept_R, color=COLOURS[0])
    axes.scatter([parts], [kept_R[parts - 1]], color=COLOURS[3], zorder=3, label=f"{parts}: {kept_R[parts - 1]:.1%}")
    axes.set_xlabel("parts")
    axes.set_ylabel("share of the variance")
    axes.set_ylim(0, 1.02)
    axes.legend(frameon=False, loc="lower right")
    return figure
