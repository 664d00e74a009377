"""Feature importance of a fitted model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from millstream.tracking.figures.style import COLOURS, panel, plain, short

SHOWN = 20


def importance(shares_D: NDArray[Any], names: Sequence[str]) -> Figure:
    """Bar chart of the columns with the largest shares, largest on top."""
    largest = np.argsort(-shares_D, kind="stable")[:SHOWN]
    figure, axes = panel(7.2, 1.4 + 0.26 * len(largest), title="what splits on a column gain, in train")
    axes.barh(range(len(largest)), shares_D[largest], color=COLOURS[0])
    axes.set_yticks(range(len(largest)), [short(names[at]) for at in largest])
    plain(axes)
    axes.invert_yaxis()
    axes.set_xlabel("share of the gain of all splits")
    return figure


def importance_map(shares_HW: NDArray[Any]) -> Figure:
    """The share of each pixel."""
    figure, axes = panel(5.6, 4.6, title="what splits on a pixel gain, in train")
    figure.colorbar(axes.imshow(shares_HW, cmap="viridis", vmin=0), label="share of the gain of all splits")
    axes.axis("off")
    return figure
