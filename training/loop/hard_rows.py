"""Logs the test rows with the largest loss as a table, and as a figure if they are images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from millstream.tracking.dataset.manifest import Manifest
from millstream.tracking.dataset.records import Column
from millstream.tracking.dataset.version import Dataset
from millstream.tracking.dataset.windows import Windows
from millstream.tracking.figures.samples import samples
from millstream.tracking.figures.style import short
from millstream.tracking.inspection.lineage import Row, find
from millstream.tracking.inspection.look import plain
from millstream.tracking.inspection.rows import cut
from millstream.tracking.runs.run import Run
from millstream.tracking.runs.table import Table
from millstream.training.callbacks.largest_losses import HardRow

NAME = "largest_losses"
MOST_COLUMNS, MOST_LETTERS = 30, 300


def log(run: Run, dataset: Dataset, hard: Sequence[HardRow]) -> tuple[str, ...]:
    """Log `tables/largest_losses.json`, with the rows' raw values, and `figures/largest_losses.png`; return which."""
    # a window is cut by the feed: no row of the dataset has its sample ID
    is_window = Windows.of(dataset.manifest.steps) is not None
    ids = [] if is_window else [one.sample_id for one in hard]
    rows = find(dataset, ids, {"test": dataset.shards("test")}) if ids else {}
    run.table(NAME, table(dataset.manifest, hard, rows))
    image = next((column for column in dataset.manifest.columns if _is_image(column)), None)
    if image is None or is_window:
        return (f"tables/{NAME}.json",)
    run.figure(NAME, figure(image, hard, rows))
    return f"tables/{NAME}.json", f"figures/{NAME}.png"


def table(manifest: Manifest, hard: Sequence[HardRow], rows: dict[str, Row]) -> Table:
    """With the legible inputs of `rows`, by sample ID; without inputs if there are no rows."""
    inputs = [column for column in manifest.columns if column.role == "input" and _is_legible(column)]
    shown = inputs[:MOST_COLUMNS] if rows else []
    taken = ("sample_id", "loss", *hard[0].values)
    return Table(
        (*taken, *(f"{one.name} (input)" if one.name in taken else one.name for one in shown)),
        [
            [
                one.sample_id,
                round(one.loss, 4),
                *one.values.values(),
                *_values(shown, rows.get(one.sample_id, {}), manifest),
            ]
            for one in hard
        ],
    )


def figure(image: Column, hard: Sequence[HardRow], rows: dict[str, Row]) -> Figure:
    """The images in the order of falling loss, with the loss, or the true and the predicted class."""
    images = [_pixels(rows[one.sample_id][image.name], image) for one in hard]
    low, high = min(one.min() for one in images), max(one.max() for one in images)
    scaled = [(one - low) / max(high - low, np.finfo(float).tiny) for one in images]
    return samples(np.stack(scaled), columns=5, titles=[_title(one) for one in hard], size=1.4)


def _title(row: HardRow) -> str:
    if {"true", "predicted"} <= row.values.keys():
        return f"true {short(str(row.values['true']))}\npredicted {short(str(row.values['predicted']))}"
    return f"loss {row.loss:.3g}"


def _values(columns: Iterable[Column], row: Row, manifest: Manifest) -> list[Any]:
    legible = plain({column.name: row[column.name] for column in columns}, manifest)
    return [_text(row[column.name], column) or legible.get(column.name) for column in columns]


def _text(value: Any, column: Column) -> str:
    """Tokens as one text; empty for another column."""
    if column.meaning != "tokens" or value is None:
        return ""
    words = column.vocabulary or ()
    return cut(" ".join(words[at] if at < len(words) else f"#{at}" for at in value), MOST_LETTERS)


def _is_legible(column: Column) -> bool:
    return column.layout == "scalar" or column.meaning == "tokens"


def _is_image(column: Column) -> bool:
    is_drawable = column.layout == "tensor" and len(column.shape) == 3 and column.shape[0] in (1, 3)
    return column.role == "input" and column.meaning == "image" and is_drawable


def _pixels(value: Any, column: Column) -> NDArray[np.float64]:
    stored = np.frombuffer(value, np.dtype(column.dtype).newbyteorder("<")) if isinstance(value, bytes) else value
    return np.asarray(stored, dtype=np.float64).reshape(column.shape)
