"""Augmented samples as column values, for each modality of `augment`.

`done` has the drawn ops of each row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from millstream.tracking.augmentations.image import along
from millstream.tracking.augmentations.op import Drawn, Op, in_place_of, through
from millstream.tracking.augmentations.series import CHANGES as SERIES
from millstream.tracking.dataset.records import Column


def images(
    rows: pd.DataFrame, done: Sequence[Drawn], column: Column, masks: list[Column], boxes: Column | None
) -> dict[str, list[bytes]]:
    """The bytes of each image, of its masks and of its boxes, by column."""
    names = [column.name, *(mask.name for mask in masks), *([boxes.name] if boxes else [])]
    cells: dict[str, list[bytes]] = {name: [] for name in names}
    for contents, ops in zip(zip(*(rows[name] for name in names), strict=True), done, strict=True):
        held = dict(zip(names, contents, strict=True))
        own_masks = [_array(held[mask.name], mask) for mask in masks]
        own_boxes = _array(held[boxes.name], boxes) if boxes else None
        changed, moved, moved_boxes = along(_array(held[column.name], column), ops, own_masks, own_boxes)
        arrays = [changed, *moved, *([] if moved_boxes is None else [moved_boxes])]
        for name, array in zip(names, arrays, strict=True):
            cells[name].append(array.tobytes())
    return cells


def series(contents: Any, done: Sequence[Drawn], column: Column) -> list[bytes]:
    """The bytes of each series."""
    # a series of one channel may be kept as (T,)
    arrays = [_array(content, column).reshape(column.shape[0], -1) for content in contents]
    return [through(SERIES, array, ops).tobytes() for array, ops in zip(arrays, done, strict=True)]


def texts(cells: Any, done: Sequence[Drawn], changes: Mapping[str, Op]) -> list[str | None]:
    """Each text; a missing one stays missing."""
    pairs = zip(cells, done, strict=True)
    return [through(changes, one, ops) if isinstance(one, str) else None for one, ops in pairs]


def numbers(
    rows: pd.DataFrame, done: Sequence[Drawn], columns: list[Column], changes: Mapping[str, Op]
) -> dict[str, Any]:
    """The values of each column, in its dtype; integers are rounded, missing values stay missing."""
    values_BD = rows[[column.name for column in columns]].to_numpy(dtype=np.float64, na_value=np.nan)
    changed = [through(changes, row_D, ops) for row_D, ops in zip(values_BD, done, strict=True)]
    # Spark may pass a piece without rows
    changed_BD = np.array(changed).reshape(values_BD.shape)
    return {
        column.name: in_place_of(rows[column.name], before_B, changed_B, column.dtype)
        for column, before_B, changed_B in zip(columns, values_BD.T, changed_BD.T, strict=True)
    }


def _array(content: bytes, column: Column) -> Any:
    return np.frombuffer(content, np.dtype(column.dtype).newbyteorder("<")).reshape(column.shape)
