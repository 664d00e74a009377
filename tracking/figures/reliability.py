"""Reliability diagram: whether predicted probabilities are the frequencies that they claim."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from millstream.tracking.figures.style import COLOURS

NORMAL_95 = 1.959964


def reliability(
    rows_N: NDArray[Any], confidence_N: NDArray[Any], accuracy_N: NDArray[Any], event: str = "the predicted class"
) -> Figure:
    """Observed frequency of `event` against its mean predicted probability, with 95 % intervals (Wilson 1927,
    doi:10.1080/01621459.1927.10502953), and below it the rows of each of N bins.

    On the diagonal the model is calibrated; below it, overconfident (Guo et al. 2017, arXiv 1706.04599, figure 4).
    """
    figure = Figure(figsize=(5.6, 5.6), layout="constrained")
    axes, counts = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    edges = np.linspace(0, 1, len(rows_N) + 1)
    axes.set_title("reliability")
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":", linewidth=1, label="calibrated")
    kept = rows_N > 0
    below, above = _interval(accuracy_N[kept], rows_N[kept])
    axes.errorbar(
        confidence_N[kept],
        accuracy_N[kept],
        yerr=np.maximum(0, [accuracy_N[kept] - below, above - accuracy_N[kept]]),
        marker="o",
        color=COLOURS[0],
        ecolor=COLOURS[5],
        capsize=2,
        clip_on=False,
        label="this model, with 95 % intervals",
    )
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.set_ylabel(f"frequency of {event}", parse_math=False)
    axes.legend(frameon=False, loc="upper left")
    counts.bar(edges[:-1], rows_N, width=1 / len(rows_N), align="edge", color=COLOURS[5], edgecolor="white")
    counts.set_yscale("symlog", linthresh=1)
    counts.set_ylabel("rows")
    counts.set_xlabel(f"predicted probability of {event}", parse_math=False)
    for one in (axes, counts):
        one.spines[["top", "right"]].set_visible(False)
    return figure


def _interval(share_N: NDArray[Any], rows_N: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    square = NORMAL_95**2 / rows_N
    middle_N = (share_N + square / 2) / (1 + square)
    half_N = np.sqrt(share_N * (1 - share_N) * square + square**2 / 4) / (1 + square)
    return middle_N - half_N, middle_N + half_N
