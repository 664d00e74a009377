"""Norm of the gradient of a loss with respect to the state after each time step."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from millstream.tracking.figures.style import COLOURS, panel

SMALLEST = 1e-45
"""The smallest positive float32: a norm below it is 0."""


def gradient_norms(norms_T: NDArray[Any], label: str = "") -> Figure:
    """Norms on a logarithmic axis; a gradient that vanishes falls towards the first step, to the left."""
    figure, axes = panel(title="norm of d loss / d state")
    shown_T = np.where(np.isfinite(norms_T) & (norms_T > 0), norms_T, np.nan)
    axes.plot(np.arange(1, len(shown_T) + 1), shown_T, color=COLOURS[0])
    axes.set_yscale("log")
    axes.set_xlabel("step")
    axes.set_ylabel(f"norm ({label})" if label else "norm", parse_math=False)
    if np.nanmax(shown_T, initial=0) > 0:
        ratio = np.nanmin(shown_T) / np.nanmax(shown_T)
        axes.text(0.02, 0.02, f"smallest / largest: {ratio:.1e}", transform=axes.transAxes, fontsize=9)
    return figure
