"""Gates and states of a recurrent layer over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from numpy.typing import NDArray

from millstream.tracking.figures.style import plain

MOST_UNITS, MOST_LABELS = 40, 60
SIGNED = ("candidate", "hidden", "cell")


def gates(values: Mapping[str, NDArray[Any]], labels: Sequence[str] = ()) -> Figure:
    """A map of each gate or state (T, D): time to the right, the first units downwards; `labels` name the steps.

    A gate is black where it is closed (0) and bright where it is open (1); a state is blue where it is negative.
    """
    figure = Figure(figsize=(8.0, 1.5 * len(values) + 0.6), layout="constrained")
    panels = figure.subplots(len(values), 1, sharex=True, squeeze=False).ravel()
    for axes, (name, values_TD) in zip(panels, values.items(), strict=True):
        shown_DT = values_TD[:, :MOST_UNITS].T
        limit = max(1.0, float(abs(shown_DT).max(initial=0)))
        scale = (
            {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}
            if name in SIGNED
            else {"cmap": "magma", "vmin": 0, "vmax": 1}
        )
        drawn = axes.imshow(shown_DT, aspect="auto", interpolation="nearest", **scale)
        axes.set_ylabel(name)
        axes.set_yticks([])
        figure.colorbar(drawn, ax=axes, pad=0.01)
    if 0 < len(labels) <= MOST_LABELS:
        panels[-1].set_xticks(range(len(labels)), [label or " " for label in labels])
        plain(panels[-1])
    panels[-1].set_xlabel("step")
    return figure
