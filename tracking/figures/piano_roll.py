"""Piano rolls: which keys are played over time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray


def piano_rolls(rolls: Mapping[str, NDArray[Any]]) -> Figure:
    """One panel for each roll (T, K) of values in [0, 1]: time to the right, low keys at the bottom."""
    figure = Figure(figsize=(8.0, 2.2 * len(rolls)), layout="constrained")
    sounding = np.concatenate([np.flatnonzero(roll.max(axis=0) > 0.5) for roll in rolls.values() if roll.size])
    low, high = (int(sounding.min()), int(sounding.max())) if len(sounding) else (0, 1)
    for axes, (name, roll_TK) in zip(figure.subplots(len(rolls), 1, squeeze=False).ravel(), rolls.items(), strict=True):
        axes.imshow(roll_TK.T, aspect="auto", origin="lower", interpolation="nearest", cmap="magma", vmin=0, vmax=1)
        axes.set_ylim(low - 2.5, high + 2.5)
        axes.set_ylabel(f"{name}: key")
    figure.axes[-1].set_xlabel("frame")
    return figure
