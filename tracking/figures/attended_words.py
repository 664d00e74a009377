"""Attention weights of the words in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib import colormaps
from matplotlib.figure import Figure
from numpy.typing import NDArray

from millstream.tracking.figures.style import short

WIDE = 100
"""Characters per line."""
SIZE = 8
MAP = "YlOrRd"


def attended_words(sentences: Sequence[tuple[str, Sequence[str], NDArray[Any]]]) -> Figure:
    """Each sentence with its title, words and weights (T,) >= 0: words are shaded by weight relative to the sentence's
    maximum."""
    lines: list[list[tuple[int, str, float]]] = []
    titles: list[tuple[int, str]] = []
    for title, words, weights_T in sentences:
        titles.append((len(lines), title))
        lines += [[], *_wrapped(words, weights_T / max(1e-12, float(weights_T.max(initial=0)))), []]
    figure = Figure(figsize=(WIDE * SIZE * 0.0087, max(1.0, len(lines) * SIZE * 0.0245)))
    axes = figure.add_axes((0.01, 0.0, 0.98, 1.0))
    axes.set(xlim=(0, WIDE), ylim=(len(lines), -1))
    axes.axis("off")
    font: dict[str, Any] = {"family": "monospace", "size": SIZE, "va": "center", "parse_math": False}
    for at, title in titles:
        axes.text(0, at, title, weight="bold", **font)
    for at, line in enumerate(lines):
        for start, word, share in line:
            colour = {"facecolor": colormaps[MAP](0.75 * share), "edgecolor": "none", "pad": 1.2}
            axes.text(start, at, word, bbox=colour, **font)
    return figure


def _wrapped(words: Sequence[str], shares: NDArray[Any]) -> list[list[tuple[int, str, float]]]:
    """Lines of words, each with its start column and share."""
    lines: list[list[tuple[int, str, float]]] = [[]]
    column = 0
    for word, share in zip(words, shares.tolist(), strict=True):
        shown = short(word)
        if column and column + len(shown) > WIDE:
            lines.append([])
            column = 0
        lines[-1].append((column, shown, share))
        column += len(shown) + 1
    return lines
