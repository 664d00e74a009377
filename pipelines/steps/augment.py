"""Augmented copies of train rows, made on Spark, each with its parent and the ops applied."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pandas as pd
from pydantic import BaseModel, Field, field_validator, model_validator
from pyspark.sql import DataFrame

from millstream.pipelines.ops import augment_cells, lineage
from millstream.pipelines.ops.copy_rows import COPY
from millstream.pipelines.spark.frames import in_pandas, named
from millstream.pipelines.steps.scale import moments
from millstream.pipelines.table import Learned, Place, Table
from millstream.tracking.augmentations import image, modality, series, table, text
from millstream.tracking.augmentations.modality import OPS, Modality
from millstream.tracking.augmentations.op import Drawn, Op, drawn
from millstream.tracking.dataset.records import Column, Served
from millstream.tracking.errors import BadData
from millstream.tracking.recipe import plugins

MISSING: dict[Modality, str] = {
    "image": "read them with the source images",
    "text": "put augment before encode or tokenize",
    "series": "put augment after window, which makes them",
    "table": "declare them with role: input",
}
"""Remedy in the error of a table without a column of that modality."""


class Augment(BaseModel, frozen=True, extra="forbid"):
    """Adds `copies` augmented copies of each train row: all `ops` in order, drawn by (seed, sample_id, copy).

    | sample_id | -> | sample_id     | parent_id | op                                              |
    | 7         |    | 7             |           |                                                 |
    |           |    | 7+augment-1   | 7         | {"op": "augment", "changes": [{"shift": {...}}]} |

    A second step of this kind names its rows `+augment2-1`; in a copy of a copy, `before` holds the earlier op.

    With `where: feed` no row is added: training draws a new augmentation of each train sample in every epoch.
    """

    version: ClassVar[int] = 1
    place: ClassVar[Place] = "after split"
    served: ClassVar[Served] = "same"
    train_only: ClassVar[bool] = True

    copies: int = Field(1, ge=0, le=100, description="augmented copies of each row; ignored with `where: feed`")
    ops: tuple[dict[str, float], ...] = Field(
        description="list of `op: strength`, all of one modality. "
        + "; ".join(
            f"{kind}: {', '.join(f'{name} ({op.strength})' for name, op in ops.items())}" for kind, ops in OPS.items()
        )
    )
    column: str | None = Field(
        None, description="column to augment, `numbers` for table features; default: what the ops fit"
    )
    where: Literal["spark", "feed"] = Field(
        "spark", description="add rows to the dataset, or augment on the fly in training"
    )
    masks: tuple[str, ...] = Field((), description="masks (H, W) or (C, H, W) transformed with the image")
    boxes: str | None = Field(None, description="boxes (N, 4), x0 y0 x1 y1 in pixels, transformed with the image")
    synonyms: dict[str, tuple[str, ...]] = Field({}, description="replacements of each word, for the op synonyms")

    @field_validator("ops")
    @classmethod
    def _known(cls, ops: tuple[dict[str, float], ...]) -> tuple[dict[str, float], ...]:
        known = {name for kind in OPS.values() for name in kind}
        for op in ops:
            if len(op) != 1 or next(iter(op)) not in known or not next(iter(op.values())) >= 0:
                raise ValueError(
                    f"{op}: expected one `op: strength` with a strength >= 0; {plugins.suggest(str(*op), known)}"
                )
        return ops

    @model_validator(mode="after")
    def _together(self) -> Self:
        names = [name for name, _ in self._ops]
        kinds = modality.fitting(names)
        if not kinds:
            raise ValueError(f"ops {names} are not all of one kind; make a step for each of {', '.join(OPS)}")
        over = [f"{name} {by}" for name, by in self._ops if all(by > OPS[kind][name].most for kind in kinds)]
        if over:
            raise ValueError(f"too strong: {', '.join(over)}; a share or a probability is at most 1")
        known = OPS[kinds[0]]
        idle = [f"{name} {by:g} ({known[name].enough})" for name, by in self._ops if known[name].is_idle(by)]
        if idle:
            raise ValueError(f"changes nothing: {', '.join(idle)}")
        if (self.masks or self.boxes) and "image" not in kinds:
            raise ValueError(f"masks and boxes move with an image, and ops {names} change none")
        if ("synonyms" in names) != bool(self.synonyms):
            raise ValueError("the op synonyms and the field synonyms need each other")
        return self

    @property
    def resamples(self) -> bool:
        return self.copies > 0 and self.where == "spark"

    def fit(self, train: Table, seed: int) -> Learned:
        """The standard deviations of a table's numbers; for the feed, the column and its modality.

        Raises BadData when the ops fit no column, or several and none is named, and when they would move an image
        without its mask.
        """
        if self.copies == 0 and self.where == "spark":
            return {}
        name, kind = self._chosen(train)
        if kind == "image":
            self._check_along(train, name)
        for_feed = {"column": name, "modality": kind} if self.where == "feed" else {}
        return {**for_feed, **({"deviations": _deviations(train)} if kind == "table" else {})}

    def apply(self, table: Table, learned: Learned, seed: int) -> Table:
        """Raises BadData as `fit` does."""
        if self.copies == 0 or self.where == "feed":
            return table
        changed, copies = self._changer(table, learned, seed, lineage.free_name(table.frame, "augment")), self.copies

        def made(pieces: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
            for piece in pieces:
                for copy in range(1, copies + 1):
                    yield changed(piece.assign(**{COPY: copy}))

        return table.replacing(table.frame.unionByName(in_pandas(table.frame, made, table.frame.schema)))

    def made(self, table: Table, rows: DataFrame, learned: Learned, seed: int, name: str) -> DataFrame:
        """An augmented copy of each of `rows`, which have the table's columns and the integer `_copy`, from 1.

        For steps that set the copies of each row themselves. `learned` is the result of `fit`; `name` is part of the
        new rows' sample_id (`7+<name>-1`) and op, and of the key of the random draws. Raises BadData as `fit` does.
        """
        changed = self._changer(table, learned, seed, name)
        return in_pandas(rows, lambda pieces: map(changed, pieces), table.frame.schema)

    @property
    def _ops(self) -> list[tuple[str, float]]:
        return [next(iter(op.items())) for op in self.ops]

    def _chosen(self, table: Table) -> tuple[str, Modality]:
        kinds = modality.fitting(name for name, _ in self._ops)
        fitting = {
            name: kind
            for name, kind in modality.candidates(table.columns, kinds).items()
            if name not in (*self.masks, self.boxes)
        }
        chosen = [one for one in fitting.items() if self.column in (None, one[0])]
        if len(chosen) != 1:
            nouns = " or ".join(modality.PLURALS[kind] for kind in kinds)
            restriction = f"column is {self.column!r}, and " if self.column is not None else ""
            would = "name one" if fitting else ", or ".join(MISSING[kind] for kind in kinds)
            raise BadData.at("step augment", f"{restriction}{nouns} are {list(fitting)}; {would}")
        return chosen[0]

    def _check_along(self, train: Table, name: str) -> None:
        """Raises BadData for masks and paired images of the image `name` that a geometric op would leave unchanged."""
        moving = [op for op, _ in self._ops if op in image.NEAREST]
        moved, own = (name, *self.masks, self.boxes), _column(train, name)
        left = [one.name for one in train.columns if one.name not in moved and _shows_the_same(one, own)]
        if moving and left:
            would = "name them in masks, or put augment before the step that makes them"
            raise BadData.at("step augment", f"{moving} move {name!r}, and {left} would stay as they are; {would}")

    def _changer(self, within: Table, learned: Learned, seed: int, name: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
        """Returns a function from rows with `_copy` to augmented rows without it, in the table's column order."""
        chosen, kind = self._chosen(within)
        ops, order = self._ops, within.frame.columns
        changes, write = self._writer(within, chosen, kind, learned)

        def changed(rows: pd.DataFrame) -> pd.DataFrame:
            keys = list(zip(rows["sample_id"], rows[COPY], strict=True))
            done = [drawn(changes, ops, seed, name, sample_id, copy) for sample_id, copy in keys]
            operations = [
                json.dumps({"op": name, "copy": int(copy), "seed": seed, "changes": one, **lineage.earlier(before)})
                for (_, copy), one, before in zip(keys, done, rows["op"], strict=True)
            ]
            parents = rows["parent_id"].where(rows["parent_id"].notna(), rows["sample_id"])
            ids = [f"{sample_id}+{name}-{copy}" for sample_id, copy in keys]
            new: pd.DataFrame = rows.assign(**write(rows, done), op=operations, parent_id=parents, sample_id=ids)
            return new.reindex(columns=order)

        return changed

    def _writer(self, within: Table, chosen: str, kind: Modality, learned: Learned) -> tuple[dict[str, Op], Writer]:
        if kind == "table":
            numbers = modality.numbers_of(within.columns)
            deviations = learned["deviations"]
            changes = table.changes(np.array([deviations[column.name] for column in numbers]))
            return changes, lambda rows, done: augment_cells.numbers(rows, done, numbers, changes)
        if kind == "text":
            changes = text.changes(self.synonyms)
            return changes, lambda rows, done: {chosen: augment_cells.texts(rows[chosen], done, changes)}
        column = _column(within, chosen)
        if kind == "series":
            return series.CHANGES, lambda rows, done: {chosen: augment_cells.series(rows[chosen], done, column)}
        masks = [self._moving(within, name, column.shape[1:]) for name in self.masks]
        boxes = self._moving(within, self.boxes, (4,)) if self.boxes else None
        return image.CHANGES, lambda rows, done: augment_cells.images(rows, done, column, masks, boxes)

    def _moving(self, within: Table, name: str, ending: tuple[int, ...]) -> Column:
        column = _column(within, name)
        if column.layout != "tensor" or column.shape[-len(ending) :] != ending:
            message = (
                f"{name!r} is {column.layout} {column.shape}; it has to be a tensor whose shape ends with {ending}"
            )
            raise BadData.at("step augment", message)
        return column


Writer = Callable[[pd.DataFrame, Sequence[Drawn]], dict[str, Any]]
"""Returns the augmented columns of rows from their drawn ops."""


def _column(within: Table, name: str) -> Column:
    column = within.column(name)
    if column is None:
        raise BadData.at("step augment", f"no column {name!r}; it has {[one.name for one in within.columns]}")
    return column


def _shows_the_same(one: Column, image: Column) -> bool:
    """Whether a column certainly shows the same scene: a mask, or the target image of an input image."""
    if one.layout != "tensor":
        return False
    return one.meaning == "mask" or (one.meaning == "image" and {one.role, image.role} == {"input", "target"})


def _deviations(train: Table) -> dict[str, float]:
    """The standard deviation of each numeric input over its non-missing rows; 0 where there are none."""
    deviations = {}
    for column in modality.numbers_of(train.columns):
        values = train.frame.select(named(column.name).cast("double").alias("value")).where(
            "value IS NOT NULL AND NOT isnan(value)"
        )
        counts = {row[0]: row[1] for row in values.groupBy("value").count().collect()}
        deviations[column.name] = moments(counts)[1] if counts else 0.0
    return deviations
