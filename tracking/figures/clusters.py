"""Cluster assignments of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from numpy.typing import NDArray

from millstream.tracking.figures.latent import coloured, plane

NAMED = 30
"""Maximum number of clusters in the legend."""


def clusters(x_ND: NDArray[Any], labels: Mapping[str, NDArray[Any]], classes: Sequence[str]) -> Figure:
    """Rows by their first two principal components, one panel for each of `labels` (N,), `cluster` or `class`.

    Clusters are numbered, -1 for noise; classes are named.
    """
    points_N2, axis_names = plane(x_ND)
    figure = Figure(figsize=(7.2 * len(labels), 6.0), layout="constrained")
    for axes, (title, label_N) in zip(figure.subplots(1, len(labels), squeeze=False)[0], labels.items(), strict=True):
        names = classes if title == "class" else [str(at) for at in range(int(label_N.max(initial=-1)) + 1)]
        coloured(axes, points_N2, label_N, names)
        if len(names) > NAMED:
            axes.get_legend().remove()
        axes.set_title(title)
        axes.set_xlabel(axis_names[0])
        axes.set_ylabel(axis_names[1])
        axes.spines[["top", "right"]].set_visible(False)
    return figure
