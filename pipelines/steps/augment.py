"""Adds changed copies of train images, on the cluster; each names its parent and what was done to it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from pydantic import BaseModel, Field, field_validator

from pipelines.augmentations import CHANGES
from pipelines.table import Learned, Table
from tracking import parts
from tracking.faults import BadData
from tracking.manifest import Column
from tracking.seeds import key


class Augment(BaseModel, frozen=True, extra="forbid"):
    """Each train row gets `copies` more, through all `ops` in order, with parameters drawn for (seed, sample_id, copy).

    | sample_id | -> | sample_id     | parent_id | op                                              |
    | 7         |    | 7             |           |                                                 |
    |           |    | 7+augment-1   | 7         | {"op": "augment", "changes": [{"shift": {...}}]} |
    """

    version: ClassVar[int] = 1
    train_only: ClassVar[bool] = True

    copies: int = Field(1, ge=0, le=100, description="changed copies of each row")
    ops: tuple[dict[str, float], ...] = Field(
        description="one `op: strength` each: shift (pixels), rotate (degrees), noise (share of the range)"
    )
    column: str | None = Field(None, description="the image; default: the only one")

    @field_validator("ops")
    @classmethod
    def _known(cls, ops: tuple[dict[str, float], ...]) -> tuple[dict[str, float], ...]:
        for op in ops:
            if len(op) != 1 or next(iter(op)) not in CHANGES or next(iter(op.values())) < 0:
                raise ValueError(
                    f"{op}: expected one `op: strength` with a strength >= 0; {parts.suggest(str(*op), CHANGES)}"
                )
        return ops

    def fit(self, train: Table, seed: int) -> Learned:
        return {}

    def apply(self, table: Table, learned: Learned, seed: int) -> Table:
        """Raises BadData when there is no image, or several and none is named."""
        if self.copies == 0:
            return table
        column = self._image(table)
        ops = [next(iter(op.items())) for op in self.ops]
        copies = self.copies

        def changed(pieces: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
            for piece in pieces:
                for copy in range(1, copies + 1):
                    yield _changed(piece, column, ops, seed, copy)

        made = table.frame.mapInPandas(changed, table.frame.schema)
        return table.replacing(table.frame.unionByName(made))

    def _image(self, table: Table) -> Column:
        images = [column for column in table.columns if column.meaning == "image"]
        chosen = [column for column in images if self.column in (None, column.name)]
        if len(chosen) != 1:
            raise BadData.at("step augment", f"column {self.column!r}: images are {[column.name for column in images]}")
        return chosen[0]


def _changed(rows: pd.DataFrame, column: Column, ops: list[tuple[str, float]], seed: int, copy: int) -> pd.DataFrame:
    images, told = [], []
    for sample_id, content in zip(rows["sample_id"], rows[column.name], strict=True):
        image = np.frombuffer(content, np.dtype(column.dtype).newbyteorder("<")).reshape(column.shape)
        changes: list[dict[str, Any]] = []
        for at, (name, strength) in enumerate(ops):
            draw, change = CHANGES[name]
            generator = np.random.Generator(np.random.PCG64(key(seed, "augment", sample_id, copy, at, name)))
            parameters = draw(strength, generator)
            image = change(image, parameters)
            changes.append({name: parameters})
        images.append(image.tobytes())
        told.append(json.dumps({"op": "augment", "copy": copy, "seed": seed, "changes": changes}))
    parents = rows["parent_id"].where(rows["parent_id"].notna(), rows["sample_id"])
    ids = rows["sample_id"] + f"+augment-{copy}"
    return rows.assign(**{column.name: images, "op": told, "parent_id": parents, "sample_id": ids})
