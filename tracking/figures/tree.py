"""A decision tree as it decides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.tree import plot_tree

from tracking.figures.style import short

LEVELS = 3
"""Below these a tree is cut off: (...) stands for what is there."""


def tree(fitted: Any, names: Sequence[str], classes: Sequence[str]) -> Figure:
    """The upper levels of scikit-learn's tree; left is where a condition holds, colour is the class that prevails."""
    depth = min(LEVELS, fitted.get_depth())
    figure = Figure(figsize=(3 + 2.4 * 2**depth, 2 + 1.6 * depth), layout="constrained")
    FigureCanvasAgg(
        figure
    )  # what is drawn is measured while it is laid out, and a bare figure has nothing to measure by
    plain = [[short(name).replace("$", r"\$") for name in some] for some in (names, classes)]
    plot_tree(
        fitted,
        ax=figure.add_subplot(),
        max_depth=LEVELS,
        feature_names=plain[0],
        class_names=plain[1] or None,
        filled=True,
        impurity=False,
        proportion=True,
        rounded=True,
        fontsize=8,
    )
    return figure
