"""Shared style of all figures: no global state, a palette for the colour-blind, labels never parsed as math."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#000000")
"""Okabe & Ito 2008."""
LONGEST = 24


def panel(width: float = 6.4, height: float = 4.4, *, title: str = "") -> tuple[Figure, Axes]:
    """A figure with one axes; sizes in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def short(label: str) -> str:
    """The label, truncated if it is long."""
    return label if len(label) <= LONGEST else f"{label[: LONGEST - 1]}…"


def plain(axes: Axes) -> None:
    """Show tick labels verbatim, including dollar signs."""
    for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        label.set_parse_math(False)
