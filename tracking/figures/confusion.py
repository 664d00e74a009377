"""Confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from millstream.tracking.figures.style import panel, plain, short

NUMBERED = 20
"""Maximum number of classes with counts in the cells."""


def confusion(counts_KK: NDArray[Any], classes: Sequence[str]) -> Figure:
    """Rows are true classes, columns predicted ones; colour is the share of the row, numbers are counts."""
    count = len(classes)
    size = min(12.0, 2.5 + 0.45 * count)
    figure, axes = panel(size + 1, size, title="predicted class against true class")
    shares = counts_KK / np.maximum(1, counts_KK.sum(axis=1, keepdims=True))
    drawn = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(drawn, label="share of the true class")
    names = [short(name) for name in classes]
    axes.set_xticks(range(count), names, rotation=60, ha="right")
    axes.set_yticks(range(count), names)
    plain(axes)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    if count <= NUMBERED:
        for row, column in np.ndindex(count, count):
            if counts_KK[row, column]:
                colour = "white" if shares[row, column] > 0.5 else "black"
                axes.text(
                    column, row, str(int(counts_KK[row, column])), ha="center", va="center", color=colour, fontsize=7
                )
    return figure
