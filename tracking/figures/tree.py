"""Plot of a decision tree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.tree import plot_tree

from millstream.tracking.figures.style import short

LEVELS = 3
"""Maximum depth shown: (...) marks deeper nodes."""

LISTED = 4
"""Maximum number of classes whose shares are listed in a node."""


def tree(fitted: Any, names: Sequence[str], classes: Sequence[str]) -> Figure:
    """The upper levels of scikit-learn's tree; left is where the condition holds, colour is the majority class."""
    depth = min(LEVELS, fitted.get_depth())
    figure = Figure(figsize=(3 + 2.4 * 2**depth, 2 + 1.6 * depth), layout="constrained")
    # plot_tree measures nodes, which needs a canvas
    FigureCanvasAgg(figure)
    plain = [[short(name).replace("$", r"\$") for name in some] for some in (names, classes)]
    axes = figure.add_subplot()
    plot_tree(
        fitted,
        ax=axes,
        max_depth=LEVELS,
        feature_names=plain[0],
        class_names=plain[1] or None,
        filled=True,
        impurity=False,
        proportion=True,
        rounded=True,
        fontsize=8,
    )
    if len(classes) > LISTED:
        for node in axes.texts:
            node.set_text("\n".join(line for line in node.get_text().split("\n") if not line.startswith("value")))
    return figure
