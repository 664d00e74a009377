"""ROC and precision-recall curves, of one class against the rest.

Axes: T thresholds, descending; K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from millstream.tracking.figures.style import COLOURS, panel, short

NAMED = 5
"""Number of classes with a legend entry: the worst ones."""


def roc(true_TK: NDArray[Any], false_TK: NDArray[Any], classes: Sequence[str]) -> Figure:
    """True positive rate against false positive rate of each class that has both positive and negative rows.

    `true_TK` and `false_TK` count the positive and negative rows whose score reaches the threshold.
    """
    figure, axes = panel(5.6, 5.2, title="ROC")
    kept = [at for at in range(len(classes)) if true_TK[-1, at] and false_TK[-1, at]]
    x_TK = _from_zero(false_TK[:, kept] / np.maximum(1, false_TK[-1, kept]))
    y_TK = _from_zero(true_TK[:, kept] / np.maximum(1, true_TK[-1, kept]))
    areas = (np.diff(x_TK, axis=0) * (y_TK[1:] + y_TK[:-1]) / 2).sum(axis=0)
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":", linewidth=1)
    _curves(
        axes,
        x_TK,
        y_TK,
        [f"{short(classes[at])}: area {area:.4f}" for at, area in zip(kept, areas, strict=True)],
        areas,
    )
    axes.set_xlabel("false positive rate")
    axes.set_ylabel("true positive rate")
    return figure


def precision_recall(true_TK: NDArray[Any], false_TK: NDArray[Any], classes: Sequence[str]) -> Figure:
    """Precision against recall of each class with a positive row; the legend has the class's share of the rows, the
    precision of a random order."""
    figure, axes = panel(5.6, 5.2, title="precision and recall")
    kept = [at for at in range(len(classes)) if true_TK[-1, at]]
    reached_TK = true_TK[:, kept] + false_TK[:, kept]
    # no row reaches the highest thresholds: the first precision there is stands for them
    precision_TK = np.where(reached_TK > 0, true_TK[:, kept] / np.maximum(1, reached_TK), np.nan)
    recall_TK = true_TK[:, kept] / np.maximum(1, true_TK[-1, kept])
    steps_TK = np.diff(recall_TK, axis=0, prepend=0.0)
    areas = np.nansum(steps_TK * precision_TK, axis=0)
    shares = true_TK[-1, kept] / np.maximum(1, reached_TK[-1])
    names = [
        f"{short(classes[at])}: average precision {area:.4f}, share {share:.3g}"
        for at, area, share in zip(kept, areas, shares, strict=True)
    ]
    _curves(axes, recall_TK, precision_TK, names, areas)
    axes.set_xlabel("recall")
    axes.set_ylabel("precision")
    return figure


def _curves(axes: Axes, x_TK: NDArray[Any], y_TK: NDArray[Any], names: Sequence[str], quality: NDArray[Any]) -> None:
    """All curves in grey and the `NAMED` of the lowest quality in colour."""
    worst = np.argsort(quality, kind="stable")[:NAMED].tolist()
    for at in range(len(names)):
        if at not in worst:
            axes.plot(x_TK[:, at], y_TK[:, at], color="lightgrey", linewidth=1)
    for colour, at in zip(COLOURS, worst, strict=False):
        (line,) = axes.plot(x_TK[:, at], y_TK[:, at], color=colour)
        line.set_label(names[at] if names[at].strip("_") else " ")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    if worst:
        title = f"the {len(worst)} worst of {len(names)} classes" if len(names) > len(worst) else None
        legend = axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), frameon=False, fontsize=9, title=title)
        for text in legend.get_texts():
            text.set_parse_math(False)


def _from_zero(rates_TK: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate([np.zeros((1, rates_TK.shape[1])), rates_TK])
