"""Which augmentation ops apply to which columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from millstream.tracking.augmentations import image, series, table, text
from millstream.tracking.augmentations.op import Op
from millstream.tracking.dataset.records import Column

Modality = Literal["image", "text", "series", "table"]

OPS: dict[Modality, Mapping[str, Op]] = {
    "image": image.CHANGES,
    "text": text.CHANGES,
    "series": series.CHANGES,
    "table": table.CHANGES,
}
NUMBERS = "numbers"
"""Name for all numeric columns of a table together."""
PLURALS: dict[Modality, str] = {"image": "images", "text": "texts", "series": "series", "table": NUMBERS}


def of(column: Column) -> Modality | None:
    """Modality of a single column; None for numbers of a table, categories, tokens, and texts already tokenized.

    A tokenized text (its role is no longer input) would change without its tokens.
    """
    if column.meaning == "image":
        return "image"
    if column.meaning == "text" and column.role == "input":
        return "text"
    return "series" if column.layout == "tensor" and column.axes in ("TC", "T") else None


def fitting(names: Iterable[str]) -> list[Modality]:
    """Modalities that support all of the ops `names`."""
    wanted = set(names)
    return [modality for modality, ops in OPS.items() if wanted <= ops.keys()]


def numbers_of(columns: Iterable[Column]) -> list[Column]:
    """Numeric input columns of a table, in order."""
    return [
        column
        for column in columns
        if column.role == "input" and column.meaning == "number" and column.layout == "scalar"
    ]


def candidates(columns: Iterable[Column], modalities: Iterable[Modality]) -> dict[str, Modality]:
    """Augmentable columns by name: those of one of `modalities`, and all numbers of a table together."""
    columns, wanted = tuple(columns), tuple(modalities)
    by_name = {column.name: modality for column in columns if (modality := of(column)) is not None}
    if numbers_of(columns):
        by_name.setdefault(NUMBERS, "table")
    return {name: modality for name, modality in by_name.items() if modality in wanted}
