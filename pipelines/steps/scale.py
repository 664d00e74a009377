"""Feature scaling with statistics of the train split.

Scalars are rewritten as float32. A tensor keeps its bytes, four times smaller than floats, and its column carries
y = (x - offset) * factor, which the feed applies to each batch. So does a target: the dataset keeps its raw values,
and metrics can be reported in its unit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pandas as pd
from pydantic import BaseModel, Field, model_validator
from pyspark.sql import functions as F
from pyspark.sql.types import FloatType

from millstream.pipelines.ops.value_counts import percentiles, present
from millstream.pipelines.spark.frames import named
from millstream.pipelines.table import Learned, Place, Table
from millstream.tracking.dataset.records import Affine, Column, Served
from millstream.tracking.errors import BadData
from millstream.tracking.serving import quantiles

Figures = dict[str, Any]


class Scale(BaseModel, frozen=True, extra="forbid"):
    """Learns {column: {"offset": o, "factor": f}} in the raw units of the column; `quantile` learns the quantiles.

    |  wind | ->  | wind |      method: standard, over train rows 2.0 and 4.0
    |   2.0 |     | -1.0 |
    |   4.0 |     |  1.0 |
    """

    version: ClassVar[int] = 1
    place: ClassVar[Place] = "after split"
    served: ClassVar[Served] = "replayed"
    train_only: ClassVar[bool] = False

    column: str | None = Field(None, description="column to scale")
    columns: tuple[str, ...] | Literal["numbers"] | None = Field(
        None, description="columns to scale, or all input `numbers`"
    )
    method: Literal["standard", "minmax", "unit", "quantile"] = Field(
        description="mean 0 and deviation 1; 0 to 1 over train; divided by `high`; or the quantile among train's values"
    )
    high: float = Field(255.0, gt=0, description="divisor of `unit`")
    quantiles: int = Field(
        1000, ge=2, le=10_000, description="number of evenly spaced quantiles of train that `quantile` keeps"
    )
    law: Literal["uniform", "normal"] = Field(
        "uniform", description="output distribution of `quantile`: 0 to 1, or normal"
    )

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.column is None) == (self.columns is None):
            raise ValueError("give either column or columns")
        return self

    def fit(self, train: Table, seed: int) -> Learned:
        """Raises BadData for a column that is missing, no number, or constant in train."""
        return {column.name: self._figures(train, column) for column in self._chosen(train)}

    def apply(self, table: Table, learned: Learned, seed: int) -> Table:
        for column in self._chosen(table):
            figures = learned[column.name]
            if self.method == "quantile":
                table = _ranked(table, column, figures)
            elif column.layout == "tensor" or column.role == "target":
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
        chosen = {name: table.column(str(name)) for name in names}
        wrong = [name for name, column in chosen.items() if column is None or column.dtype == "string"]
        if wrong:
            raise BadData.at("step scale", f"{wrong}: no column of numbers; it has {[c.name for c in table.columns]}")
        return [column for column in chosen.values() if column is not None]

    def _figures(self, train: Table, column: Column) -> Figures:
        if self.method == "unit":
            return {"offset": 0.0, "factor": 1.0 / self.high}
        if self.method == "quantile":
            return self._quantiles(train, column)
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

    def _quantiles(self, train: Table, column: Column) -> Figures:
        if column.layout == "tensor" or column.role == "target":
            raise BadData.at("step scale", f"{column.name}: quantile is for plain input numbers; take standard")
        rows = train.frame.where(present(column)).count()
        count = max(2, min(self.quantiles, rows))
        quantiles = percentiles(train.frame, column, np.linspace(0, 1, count).tolist())
        if not quantiles or quantiles[0] == quantiles[-1]:
            message = f"{quantiles[0]} in every train row" if quantiles else "no value in train"
            raise BadData.at("step scale", f"{column.name}: {message}; leave the column out")
        # interpolation may round a quantile below the one before it
        return {"method": "quantile", "law": self.law, "quantiles": np.maximum.accumulate(quantiles).tolist()}


def _ranked(table: Table, column: Column, figures: Figures) -> Table:
    ends, distribution = figures["quantiles"], figures["law"]

    @F.pandas_udf(FloatType())  # type: ignore[call-overload,untyped-decorator,unused-ignore]
    def ranks(pieces: Iterator[pd.Series]) -> Iterator[pd.Series]:
        for piece in pieces:
            yield pd.Series(quantiles.forward(piece.to_numpy(), ends, distribution))

    frame = table.frame.withColumn(column.name, ranks(named(column.name).cast("double")))
    return table.replacing(frame, column.model_copy(update={"dtype": "float32", "unit": ""}))


def moments(counts: dict[float, int]) -> tuple[float, float]:
    """Mean and population standard deviation of values with their counts, rounded once: independent of row order."""
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
