"""Puts numbers on a common scale, by figures of the train split alone.

Scalars are rewritten as float32. A tensor keeps its bytes, four times smaller than floats, and its column carries the
map y = (x - offset) * factor, which the feed applies when it makes a batch. So does a target, so that its raw values
stay in the data set and metrics can be told in its own unit.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import BaseModel, Field, model_validator

from pipelines.rows import named
from pipelines.table import Learned, Table
from tracking.faults import BadData
from tracking.manifest import Affine, Column

Figures = dict[str, float]


class Scale(BaseModel, frozen=True, extra="forbid"):
    """Learns {column: {"offset": o, "factor": f}} in the raw units of the column.

    |  wind | ->  | wind |      method: standard, over train rows 2.0 and 4.0
    |   2.0 |     | -1.0 |
    |   4.0 |     |  1.0 |
    """

    version: ClassVar[int] = 1
    train_only: ClassVar[bool] = False

    column: str | None = Field(None, description="one column")
    columns: tuple[str, ...] | Literal["numbers"] | None = Field(None, description="several, or all input `numbers`")
    method: Literal["standard", "minmax", "unit"] = Field(
        description="mean 0 and deviation 1; 0 to 1 over train; or divided by `high`"
    )
    high: float = Field(255.0, gt=0, description="what `unit` divides by")

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.column is None) == (self.columns is None):
            raise ValueError("give either column or columns")
        return self

    def fit(self, train: Table, seed: int) -> Learned:
        """Raises BadData for a column that is missing, no number, or the same in every train row."""
        return {column.name: self._figures(train, column) for column in self._chosen(train)}

    def apply(self, table: Table, learned: Learned, seed: int) -> Table:
        for column in self._chosen(table):
            figures = learned[column.name]
            if column.layout == "tensor" or column.role == "target":
                table = table.replacing(table.frame, column.model_copy(update={"affine": Affine(**figures)}))
            else:
                scaled = (named(column.name).cast("double") - figures["offset"]) * figures["factor"]
                frame = table.frame.withColumn(column.name, scaled.cast("float"))
                table = table.replacing(frame, column.model_copy(update={"dtype": "float32", "unit": ""}))
        return table

    def _chosen(self, table: Table) -> list[Column]:
        if self.columns == "numbers":
            return [c for c in table.columns if c.role == "input" and c.meaning == "number" and c.layout == "scalar"]
        names = (self.column,) if self.column is not None else self.columns or ()
        found = {name: table.column(str(name)) for name in names}
        wrong = [name for name, column in found.items() if column is None or column.dtype == "string"]
        if wrong:
            raise BadData.at("step scale", f"{wrong}: no column of numbers; it has {[c.name for c in table.columns]}")
        return [column for column in found.values() if column is not None]

    def _figures(self, train: Table, column: Column) -> Figures:
        if self.method == "unit":
            return {"offset": 0.0, "factor": 1.0 / self.high}
        counts = _tensor_counts(train, column) if column.layout == "tensor" else _scalar_counts(train, column)
        if not counts:
            raise BadData.at("step scale", f"{column.name}: no value in train")
        low, high = min(counts), max(counts)
        if low == high:
            raise BadData.at("step scale", f"{column.name}: {low} in every train row; leave the column out")
        if self.method == "minmax":
            return {"offset": low, "factor": 1.0 / (high - low)}
        mean, deviation = moments(counts)
        return {"offset": mean, "factor": 1.0 / deviation}


def moments(counts: dict[float, int]) -> tuple[float, float]:
    """Mean and population deviation of values with their counts, rounded once: no order of rows shows in them."""
    total = sum(counts.values())
    mean = math.fsum(value * count for value, count in sorted(counts.items())) / total
    variance = math.fsum((value - mean) ** 2 * count for value, count in sorted(counts.items())) / total
    return mean, math.sqrt(variance)


def _scalar_counts(train: Table, column: Column) -> dict[float, int]:
    values = train.frame.select(named(column.name).cast("double").alias("value")).where("value IS NOT NULL")
    return {row[0]: row[1] for row in values.groupBy("value").count().collect()}


def _tensor_counts(train: Table, column: Column) -> dict[float, int]:
    dtype = np.dtype(column.dtype).newbyteorder("<").str

    def count(rows: Any) -> Any:
        total: dict[float, int] = {}
        for row in rows:
            values, counts = np.unique(np.frombuffer(row[0], dtype), return_counts=True)
            for value, times in zip(values.tolist(), counts.tolist(), strict=True):
                total[float(value)] = total.get(float(value), 0) + times
        return iter(total.items())

    pairs = train.frame.select(named(column.name)).rdd.mapPartitions(count)
    return dict(pairs.reduceByKey(lambda one, other: one + other).collect())
