"""The columns that are declared for a table: in a recipe, or by what Spark sees in all of its rows."""

from __future__ import annotations

import functools
import operator
from typing import Literal, Self

from pydantic import BaseModel, Field, model_validator
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import (
    BooleanType,
    DataType,
    DateType,
    DecimalType,
    DoubleType,
    FractionalType,
    IntegralType,
    LongType,
    StringType,
    TimestampNTZType,
    TimestampType,
)

from pipelines.lines import Encoding
from pipelines.rows import escaped, named
from tracking.faults import BadData
from tracking.manifest import Role

Type = Literal["double", "long", "string", "timestamp"]
TYPES: dict[str, DataType] = {
    "double": DoubleType(),
    "long": LongType(),
    "string": StringType(),
    "timestamp": TimestampType(),
}
CORRUPT = "_corrupt"
MISFIT = "a value is of another type, or values are missing"
MOST_DIGITS = 18
"""Of whole numbers that an int64 holds, whatever they are."""


class TableColumn(BaseModel, frozen=True, extra="forbid"):
    type: Type
    role: Role = "input"
    nullable: bool = Field(False, description="whether a value may be missing")
    strip: str = Field("", description="characters taken off both ends of a text")
    classes: tuple[str, ...] | None = Field(None, min_length=1, description="the only texts that may stand here")
    form: str = Field("", description="how a timestamp is written in a text file, as yyyy-MM-dd HH:mm:ss; default: ISO")
    unit: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.type == "timestamp" and self.role not in ("input", "key"):
            raise ValueError(
                f"role: a time is a key, no {self.role}; make a number of it in the file, or by `features`"
            )
        return self


class Layout(BaseModel, frozen=True):
    """How the values stand in a text file."""

    columns: dict[str, TableColumn]
    header: bool
    delimiter: str
    null: str
    encoding: Encoding = "utf-8"
    decimal: Literal[".", ","] = "."


def typed(frame: DataFrame, where: object, layout: Layout) -> DataFrame:
    """Columns that have types already, brought to the declared ones; a value that does not fit spoils its row."""
    missing = [name for name in layout.columns if name not in frame.columns]
    if missing:
        raise BadData.at(where, f"no columns {missing}; it has {frame.columns}")
    cast = {
        name: F.expr(f"try_cast({escaped(name)} AS {TYPES[one.type].simpleString()})")
        for name, one in layout.columns.items()
    }
    lost = [cast[name].isNull() & named(name).isNotNull() for name in layout.columns]
    fractions = ("float", "double", "decimal")
    lost += [
        cast[name].isNotNull() & (named(name) != F.round(named(name)))  # a cast would cut the fraction off
        for name, one in layout.columns.items()
        if one.type == "long" and frame.schema[name].dataType.typeName() in fractions
    ]
    none = F.lit(None).cast("string")
    corrupt = F.when(functools.reduce(operator.or_, lost), MISFIT).alias(CORRUPT)
    values = [cast[name].alias(name) for name in layout.columns]
    places = (F.lit(0).alias("_part"), F.lit(0).cast("long").alias("_number"), none.alias("_line"))
    return frame.select(*places, corrupt, *values)


def inferred(frame: DataFrame, target: str | None, key: str | None, *, in_text: bool = False) -> dict[str, TableColumn]:
    """Columns as Spark sees them in all rows: whole numbers, numbers, times, and everything else as text.

    Truths are texts where they stand in a text file (`in_text`), as are whole numbers that no int64 holds.
    """
    kinds = {field.name: _kind(field.dataType, in_text) for field in frame.schema.fields}
    missing = frame.select([F.max(named(name).isNull()).alias(f"c{at}") for at, name in enumerate(kinds)]).head()
    roles: dict[str, Role] = {target or "": "target", key or "": "key"}
    return {
        name: TableColumn(
            type=kind,
            role="key" if kind == "timestamp" else roles.get(name, "input"),
            nullable=bool(missing and missing[at]),
        )
        for at, (name, kind) in enumerate(kinds.items())
    }


def _kind(found: DataType, in_text: bool) -> Type:
    if isinstance(found, BooleanType):
        return "string" if in_text else "long"
    if isinstance(found, DecimalType) and found.scale == 0:
        return "long" if found.precision <= MOST_DIGITS else "string"
    if isinstance(found, IntegralType):
        return "long"
    if isinstance(found, FractionalType):
        return "double"
    return "timestamp" if isinstance(found, DateType | TimestampType | TimestampNTZType) else "string"
