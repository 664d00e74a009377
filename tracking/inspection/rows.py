"""Renders rows: images with mask overlays, series as curves, tokens as text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from markupsafe import Markup

from millstream.tracking.dataset.records import Column
from millstream.tracking.inspection import drawings
from millstream.tracking.inspection.lineage import Row
from millstream.tracking.inspection.look import Look, plain
from millstream.tracking.inspection.statistics import LENGTHS
from millstream.tracking.serving.tokenizer import BEGIN, END, SPACE

DRAWN = ("image", "video", "series", "tokens")
MOST_TOKENS, MOST_FRAMES, MOST_VALUES = 200, 6, 16
SHORT, LONG = 90, 400


class Drawer:
    """Renders rows of one dataset version."""

    def __init__(self, look: Look) -> None:
        self.look = look
        columns = look.manifest.columns
        self.drawn = [column for column in columns if column.meaning in DRAWN]
        self.masks = [column for column in columns if column.meaning == "mask" and column.layout == "tensor"]
        self.channels = self._channels()

    def gallery(self) -> dict[str, list[Markup]]:
        """Rendered rows by class; empty if no column can be drawn."""
        groups = self.look.examples.items() if self.drawn else ()
        return {name: [self.row(row) for row in rows] for name, rows in groups if rows}

    def family(self, parent: Row | None, child: Row) -> dict[str, Any]:
        """An augmented row and its parent: both drawn, or the values that differ."""
        op = child["op"]
        text = op if isinstance(op, str) else json.dumps(op, ensure_ascii=False)
        facts = {"name": child["sample_id"], "parent": child["parent_id"], "op": cut(text, LONG)}
        if self.drawn:
            return facts | {"drawn": [self.row(relative) for relative in (parent, child) if relative], "changes": []}
        return facts | {"drawn": [], "changes": self._changes(parent, child)}

    def row(self, row: Row) -> Markup:
        drawn = [drawing for column in self.drawn for drawing in self._cell(column, row)]
        return Markup('<div class="row">{}</div>').format(Markup("").join(drawn))

    def _changes(self, parent: Row | None, child: Row) -> list[tuple[str, str, str]]:
        """Columns in which a row differs from its parent: name, value before, value after."""
        before = plain(parent, self.look.manifest) if parent else {}
        after = plain(child, self.look.manifest)
        names = [column.name for column in self.look.manifest.columns]
        differing = [name for name in names if before.get(name, "") != after.get(name, "")]
        return [(name, _short(before.get(name, "")), _short(after.get(name, ""))) for name in differing[:MOST_VALUES]]

    def _cell(self, column: Column, row: Row) -> Iterator[Markup]:
        value = row[column.name]
        if value is None:
            return
        if column.meaning == "tokens":
            yield _tokens(value, column.vocabulary or ())
        elif column.meaning == "series" and value.ndim == 2:
            real = self._real(value, row)
            yield drawings.curves(real) if real.shape[1] <= drawings.MOST_CURVES else drawings.roll(real)
        elif column.meaning == "image" and value.ndim == 3:
            low, high = self._range(column)
            masks = [row[mask.name] for mask in self.masks if row[mask.name] is not None]
            yield drawings.image_markup(value, low, high)
            for mask in (candidate for candidate in masks if candidate.shape[-2:] == value.shape[-2:]):
                yield drawings.image_markup(value, low, high, mask.reshape(-1, *mask.shape[-2:]).max(axis=0))
        elif column.meaning == "video" and value.ndim == 4:
            low, high = self._range(column)
            for frame in value[:: max(1, len(value) // MOST_FRAMES)][:MOST_FRAMES]:
                yield drawings.image_markup(frame, low, high)

    def _range(self, column: Column) -> tuple[float, float]:
        spread = self.look.summaries[column.name]["train"].spread
        if spread is None:
            return 0.0, 1.0
        low, *_, high = spread.quartiles
        return (0.0, 255.0) if column.dtype == "uint8" and high > 127 else (min(low, 0.0), high)

    def _real(self, series_TC: Any, row: Row) -> Any:
        """The series without padding at the end, if the row has its length."""
        length = next((row[name] for name in LENGTHS if name in row), None)
        return series_TC[:length] if isinstance(length, int) and 0 < length <= len(series_TC) else series_TC

    def _channels(self) -> list[str]:
        """Names of a series' channels, if recorded by the step `window`."""
        drawn = next((c for c in self.drawn if c.meaning == "series" and len(c.shape) == 2), None)
        learned = [step.learned.get("columns", []) for step in self.look.manifest.steps if step.name == "window"]
        if drawn is None or not learned or len(learned[-1]) != drawn.shape[1]:
            return []
        return [str(name) for name in learned[-1][: drawings.MOST_CURVES]]


def _tokens(numbers: list[int], vocabulary: tuple[str, ...]) -> Markup:
    tokens = [vocabulary[at] if 0 <= at < len(vocabulary) else f"#{at}" for at in numbers[:MOST_TOKENS]]
    spans = [
        Markup('<span class="{}">{}</span>').format(
            "marker" if token in (BEGIN, END) else "", token.replace(SPACE, " ")
        )
        for token in tokens
    ]
    return Markup('<div class="tokens"><bdi>{}</bdi></div>').format(Markup("").join(spans))


def _short(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, float) and np.isfinite(value) else cut(str(value), SHORT)


def cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
