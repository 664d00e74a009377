"""Which rows were put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from numpy.typing import NDArray

from millstream.tracking.figures.latent import coloured, plane

NAMED = 30
"""Most clusters that are told by name."""


def clusters(x_ND: NDArray[Any], labels: Mapping[str, NDArray[Any]], classes: Sequence[str]) -> Figure:
    """Rows in the plane of their first two principal parts: a panel for each of `labels` (N,), `cluster` or `class`.

    A cluster is told by its number, -1 for none; a class by its name.
    """
    points_N2, told = plane(x_ND)
    figure = Figure(figsize=(7.2 * len(labels), 6.0), layout="constrained")
    for axes, (title, label_N) in zip(figure.subplots(1, len(labels), squeeze=False)[0], labels.items(), strict=True):
        names = classes if title == "class" else [str(at) for at in range(int(label_N.max(initial=-1)) + 1)]
        coloured(axes, points_N2, label_N, names)
        if len(names) > NAMED:
            axes.get_legend().remove()
        axes.set_title(title)
        axes.set_xlabel(told[0])
        axes.set_ylabel(told[1])
        axes.spines[["top", "right"]].set_visible(False)
    return figure
