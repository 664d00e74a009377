"""Latent space of samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from millstream.tracking.figures.style import panel, short


def latent(
    codes_ND: NDArray[Any],
    labels_N: NDArray[Any] | None,
    classes: Sequence[str],
    *,
    title: str = "codes of test samples",
) -> Figure:
    """Scatter plot of the codes, coloured by class; PCA to two dimensions if they have more."""
    points, labels = plane(codes_ND)
    figure, axes = panel(7.2, 6.0, title=title)
    if labels_N is None:
        axes.scatter(points[:, 0], points[:, 1], s=5, alpha=0.5)
    else:
        coloured(axes, points, labels_N, classes)
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    return figure


def coloured(axes: Axes, points_N2: NDArray[Any], labels_N: NDArray[Any], classes: Sequence[str]) -> None:
    """Points coloured by class, with a legend; points with the label -1 are grey."""
    palette = colormaps["tab10" if len(classes) <= 10 else "turbo"]
    apart = points_N2[labels_N < 0]
    if len(apart):
        axes.scatter(apart[:, 0], apart[:, 1], s=5, alpha=0.6, color="lightgrey", label="none")
    for at, name in enumerate(classes):
        colour = palette(at if len(classes) <= 10 else at / len(classes))
        mine = points_N2[labels_N == at]
        label = short(name).replace("$", r"\$")
        axes.scatter(mine[:, 0], mine[:, 1], s=5, alpha=0.6, color=colour, label=label)
    axes.legend(markerscale=3, frameon=False, bbox_to_anchor=(1.0, 1.0), loc="upper left")


def plane(codes_ND: NDArray[Any]) -> tuple[NDArray[Any], tuple[str, str]]:
    """Two coordinates per code and the axis labels: the codes themselves, or their first two principal components."""
    if codes_ND.shape[1] == 2:
        return codes_ND, ("first dimension", "second dimension")
    centred = codes_ND - codes_ND.mean(axis=0)
    # a single code has one (meaningless) direction, but a plane needs two
    added = np.zeros((max(0, 2 - len(centred)), centred.shape[1]))
    _, sizes, directions = np.linalg.svd(np.concatenate([centred, added]), full_matrices=False)
    # directions have arbitrary sign: make the largest component positive, so that runs are reproducible
    signs = np.sign(directions[np.arange(len(directions)), np.abs(directions).argmax(axis=1)])
    share = sizes**2 / max((sizes**2).sum(), np.finfo(np.float64).tiny)
    first, second = (f"principal part {at + 1} ({share[at]:.0%} of the variance)" for at in range(2))
    return centred @ (directions[:2] * signs[:2, None]).T, (first, second)
