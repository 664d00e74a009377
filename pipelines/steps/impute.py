"""Imputation of missing values with statistics of the train split; a served row may then lack them, too."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, Field, model_validator
from pyspark.sql import functions as F
from pyspark.sql.types import DoubleType

from millstream.pipelines.ops.value_counts import percentiles, present, value_counts
from millstream.pipelines.spark.frames import named
from millstream.pipelines.table import Doubt, Learned, Place, Table
from millstream.tracking.dataset.records import Column, Served
from millstream.tracking.errors import BadData

MISSING = "_missing"
MOST_WHOLE = 2**53
"""Up to here a float represents every integer exactly."""


class Impute(BaseModel, frozen=True, extra="forbid"):
    """Learns {column: {"fill": value, "from": dtype, "indicator": name of a 0/1 column or null}}.

    | wind | ->  | wind | wind_missing |      method: mean, indicator: true
    |  2.0 |     |  2.0 |            0 |
    |      |     |  3.0 |            1 |
    |  4.0 |     |  4.0 |            0 |

    Integers stay integers where an integer is filled in, and become float64 for a mean or median. A column without
    missing values in train gets no indicator: it would be constant.
    """

    version: ClassVar[int] = 2
    place: ClassVar[Place] = "after split"
    served: ClassVar[Served] = "replayed"
    train_only: ClassVar[bool] = False

    columns: tuple[str, ...] | Literal["numbers", "categories"] = Field(
        description="columns to impute, or all inputs that are numbers, or categories in text"
    )
    method: Literal["mean", "median", "frequent", "constant"] = Field(
        description="numbers: mean or median; both: the most frequent value (of ties the smallest), or `value`"
    )
    value: int | float | str | None = Field(None, description="fill value of `constant`")
    indicator: bool = Field(False, description="add the column `<column>_missing`: 1 where a value was missing, else 0")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.method == "constant") != (self.value is not None):
            raise ValueError("value: needed with method: constant, and with no other")
        if isinstance(self.value, float) and not math.isfinite(self.value):
            raise ValueError(f"value: {self.value} is no finite number")
        return self

    def fit(self, train: Table, seed: int) -> Learned:
        """Raises BadData for a column that is missing, that the method cannot impute, or without a value in train."""
        return {column.name: self._learn(train, column) for column in self._chosen(train)}

    def apply(self, table: Table, learned: Learned, seed: int) -> Table:
        for column in self._chosen(table):
            figures = learned[column.name]
            fill, value, frame, added = figures["fill"], named(column.name), table.frame, []
            kind = frame.schema[column.name].dataType
            if isinstance(fill, float):
                table, kind = _exact_in_floats(table, column), DoubleType()
            if (name := figures["indicator"]) is not None:
                table.check_new("step impute, indicator", name)
                frame = frame.withColumn(name, (~present(column)).cast("float"))
                added = [Column(name=name, dtype="float32", role="input", meaning="number")]
            filled_in = F.when(present(column), value.cast(kind)).otherwise(F.lit(fill).cast(kind))
            frame = frame.withColumn(column.name, filled_in)
            filled = column.model_copy(update={"dtype": "float64"}) if isinstance(fill, float) else column
            table = table.replacing(frame, filled, *added)
        return table

    def _chosen(self, table: Table) -> list[Column]:
        meaning = {"numbers": "number", "categories": "category"}.get(str(self.columns))
        if meaning is not None:
            plain = [c for c in table.columns if c.role == "input" and c.layout == "scalar" and c.meaning == meaning]
            return [column for column in plain if (column.dtype == "string") == (meaning == "category")]
        chosen = {name: table.column(name) for name in self.columns}
        wrong = [name for name, column in chosen.items() if column is None or column.layout != "scalar"]
        if wrong:
            raise BadData.at("step impute", f"{wrong}: no plain column; it has {[c.name for c in table.columns]}")
        return [column for column in chosen.values() if column is not None]

    def _learn(self, train: Table, column: Column) -> Learned:
        fill = self._fill(train, column)
        wants = self.indicator and not train.frame.where(~present(column)).isEmpty()
        return {"fill": fill, "from": column.dtype, "indicator": column.name + MISSING if wants else None}

    def _fill(self, train: Table, column: Column) -> Any:
        is_text = column.dtype == "string"
        if self.method == "constant":
            if isinstance(self.value, str) != is_text:
                raise BadData.at("step impute", f"{column.name}: {self.value!r} does not fit its {column.dtype} values")
            return _of_kind(self.value, column)
        if is_text and self.method != "frequent":
            raise BadData.at("step impute", f"{column.name}: texts have no {self.method}; take method: frequent")
        if self.method == "median":
            values: list[Any] = percentiles(train.frame, column, [0.5])
        else:
            counts = value_counts(train.frame, column)
            values = [_mean(counts) if self.method == "mean" else _most_frequent(counts)] if counts else []
        if not values:
            raise BadData.at(
                "step impute", f"{column.name}: no value in train; leave the column out, or fill a constant"
            )
        return _of_kind(values[0], column) if self.method == "frequent" else float(values[0])


def _of_kind(value: Any, column: Column) -> Any:
    """A number in the column's type: an integer in a column of integers, else a float."""
    if isinstance(value, str):
        return value
    is_whole = column.dtype.startswith(("int", "uint")) and value == int(value)
    return int(value) if is_whole else float(value)


def _exact_in_floats(table: Table, column: Column) -> Table:
    """The table, with a doubt that refuses it where the column's integers have no exact float."""
    if column.dtype != "int64":
        return table
    message = (
        f"{column.name}: {{rows}} rows hold whole numbers of 2**53 or more, of which a float would make other ones"
    )
    is_large = F.abs(named(column.name)) >= float(MOST_WHOLE)  # checked when they are floats already
    doubt = Doubt("step impute", is_large, f"{message}; take method: frequent, or a whole `value`")
    return replace(table, doubts=(*table.doubts, doubt))


def _mean(counts: dict[Any, int]) -> float:
    """Rounded once, so that the result does not depend on the order of rows."""
    return math.fsum(float(value) * count for value, count in counts.items()) / sum(counts.values())


def _most_frequent(counts: dict[Any, int]) -> Any:
    return min(counts, key=lambda value: (-counts[value], value))
