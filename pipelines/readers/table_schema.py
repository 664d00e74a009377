"""Schema of a table: declared in a recipe, or inferred by Spark from all rows."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, Field, field_validator, model_validator
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    BooleanType,
    DataType,
    DateType,
    DecimalType,
    DoubleType,
    FractionalType,
    IntegralType,
    LongType,
    MapType,
    StringType,
    StructType,
    TimestampNTZType,
    TimestampType,
)

from millstream.pipelines.readers.lines import Encoding
from millstream.pipelines.spark.frames import named
from millstream.tracking.dataset.records import Role
from millstream.tracking.errors import BadData

Type = Literal["double", "long", "string", "timestamp"]
TYPES: dict[str, DataType] = {
    "double": DoubleType(),
    "long": LongType(),
    "string": StringType(),
    "timestamp": TimestampType(),
}
CORRUPT = "_corrupt"
MISFIT = "a value is of another type, or values are missing"
NOUNS: dict[Type, str] = {"double": "number", "long": "whole number", "string": "text", "timestamp": "time"}
_NOT_SINGLE = (ArrayType, StructType, MapType, BinaryType)
MOST_DIGITS = 18
"""Digits of decimals that always fit an int64."""


class Number(BaseModel, frozen=True, extra="forbid"):
    """How numbers are written in a text file: `$1,234.50`, `12 %`, `1 234,5 EUR`."""

    prefix: str = Field("", max_length=8, description="text before a number, such as $; a number may lack it")
    suffix: str = Field("", max_length=8, description="text after a number, such as % or EUR; a number may lack it")
    thousands: str = Field(
        "",
        max_length=1,
        pattern=r"^[^\dEe+-]?$",
        description="separator of groups of three digits; a number may lack it",
    )

    @field_validator("prefix", "suffix")
    @classmethod
    def _no_digits(cls, text: str) -> str:
        if any(letter.isdigit() for letter in text):
            raise ValueError(f"{text!r} has a digit, which belongs to the number")
        return text.strip()


class TableColumn(BaseModel, frozen=True, extra="forbid"):
    type: Type = Field(description="type of the values")
    role: Role = Field("input", description="what a network does with the column: key columns are kept, and not read")
    nullable: bool = Field(False, description="whether missing values are allowed")
    strip: str = Field("", description="characters stripped from both ends of a string")
    classes: tuple[str, ...] | None = Field(None, min_length=1, description="allowed categories")
    number: Number | None = Field(
        None, exclude_if=lambda number: number is None, description="how numbers are written in a text file"
    )
    form: str | tuple[str, ...] = Field(
        "",
        description="format of a timestamp in a text file, such as yyyy-MM-dd HH:mm:ss, or several that are tried in "
        "turn; default: ISO",
    )
    unit: str = Field("", description="unit of the values")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.number is not None and self.type not in ("double", "long"):
            raise ValueError(f"number: of type double or long, and the type is {self.type}")
        if self.type == "timestamp" and self.role not in ("input", "key"):
            raise ValueError(
                f"role: a time is a key, no {self.role}; make a number of it in the file, or by `features`"
            )
        return self

    @property
    def forms(self) -> tuple[str, ...]:
        """The formats of a timestamp; an empty one is ISO."""
        return (self.form,) if isinstance(self.form, str) else self.form or ("",)


class Layout(BaseModel, frozen=True):
    """Format of a text file."""

    columns: dict[str, TableColumn]
    header: bool
    delimiter: str
    null: str | tuple[str, ...]
    encoding: Encoding = "utf-8"
    decimal: Literal[".", ","] = "."

    @property
    def nulls(self) -> tuple[str, ...]:
        """The texts of a missing value."""
        return (self.null,) if isinstance(self.null, str) else self.null


def inferred(frame: DataFrame, target: str | None, key: str | None, *, in_text: bool = False) -> dict[str, TableColumn]:
    """Schema inferred by Spark from all rows: integers, floats, timestamps, and strings for everything else.

    Booleans of a text file (`in_text`) are strings, as are integers beyond int64. Raises BadData for lists, structures,
    maps and bytes.
    """
    odd = {
        field.name: field.dataType.simpleString()
        for field in frame.schema.fields
        if isinstance(field.dataType, _NOT_SINGLE)
    }
    if odd:
        raise BadData.at("data.source", f"columns {odd} hold no single text or number; declare the other columns")
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


def _kind(type_: DataType, in_text: bool) -> Type:
    if isinstance(type_, BooleanType):
        return "string" if in_text else "long"
    if isinstance(type_, DecimalType) and type_.scale == 0:
        return "long" if type_.precision <= MOST_DIGITS else "string"
    if isinstance(type_, IntegralType):
        return "long"
    if isinstance(type_, FractionalType):
        return "double"
    return "timestamp" if isinstance(type_, DateType | TimestampType | TimestampNTZType) else "string"
