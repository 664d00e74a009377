"""Casts from a table's values to the declared types of its columns."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import (
    BinaryType,
    BooleanType,
    DataType,
    DateType,
    FractionalType,
    NumericType,
    StringType,
    StructField,
    TimestampNTZType,
    TimestampType,
)

from millstream.pipelines.readers.table_schema import CORRUPT, NOUNS, TYPES, Layout, Number, TableColumn, Type
from millstream.pipelines.spark.frames import escaped, iso_time, named
from millstream.tracking.errors import BadData, Fault

NUMBER = r"(?i)^[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf|infinity|nan)$"
"""Syntax of a number; Java would also accept `12d`, `7f` and `0x1p3`."""
WHOLE = r"^[+-]?\d+\z"
_BLANK = "[ \u00a0\u202f]?"
MALFORMED = "\ufffd"
"""Replacement character for bytes that are no UTF-8."""
_TEXTS = (StringType, BinaryType, NumericType, BooleanType, DateType, TimestampType, TimestampNTZType)
_NUMBERS = (StringType, NumericType, BooleanType, TimestampType)
_TIMES = (StringType, NumericType, DateType, TimestampType, TimestampNTZType)
_READ_FROM: dict[Type, tuple[type[DataType], ...]] = {
    "string": _TEXTS,
    "double": _NUMBERS,
    "long": _NUMBERS,
    "timestamp": _TIMES,
}
"""Spark types that can be cast to each declared type."""


def typed(
    frame: DataFrame, where: object, layout: Layout, places: Sequence[str] = (), texts: Collection[str] = ()
) -> DataFrame:
    """Casts typed columns to the declared types; a value that cannot be cast makes its row invalid.

    `places` are the columns of a row's position, by default `_part` and `_number`, both 0; `texts` the columns that are
    parsed as those of a text file.

    Raises BadData for a missing column, or for a type that cannot be cast to the declared one.
    """
    missing = [name for name in layout.columns if name not in frame.columns]
    if missing:
        raise BadData.at(where, f"no columns {missing}; it has {frame.columns}")
    columns = [(frame.schema[name], declared) for name, declared in layout.columns.items()]
    refuse_unreadable(where, columns)
    values = {
        field.name: (
            from_text(escaped(field.name), declared, layout.decimal)
            if field.name in texts
            else from_type(escaped(field.name), field.dataType, declared)
        ).alias(field.name)
        for field, declared in columns
    }
    none = F.lit(None).cast("string")
    lost = [
        F.when(value.isNull() & named(name).isNotNull(), f"{name} is no {NOUNS[layout.columns[name].type]}")
        for name, value in values.items()
    ]
    nowhere = (F.lit(0).alias("_part"), F.lit(0).cast("long").alias("_number"))
    return frame.select(
        *(places or nowhere), none.alias("_line"), F.coalesce(*lost, none).alias(CORRUPT), *values.values()
    )


def from_type(sql: str, type_: DataType, declared: TableColumn) -> SparkColumn:
    """A typed value cast to the declared type; null if invalid. `sql` is its Spark SQL expression."""
    value, kind = F.expr(sql), declared.type
    if isinstance(type_, BinaryType):
        text = F.decode(value, "UTF-8")
        return F.when(~text.contains(MALFORMED), text)
    cast = F.expr(f"try_cast({sql} AS {TYPES[kind].simpleString()})")
    if kind == "long" and isinstance(type_, FractionalType):
        return F.when(value == F.round(value), cast)  # a cast would truncate the fraction
    return cast


def from_text(sql: str, declared: TableColumn, decimal: str) -> SparkColumn:
    """A value of a text file parsed as the declared type; null if invalid."""
    text = F.expr(sql)
    if declared.type == "string":
        return text
    if declared.type == "timestamp":
        times = [F.try_to_timestamp(text, F.lit(form)) if form else iso_time(text) for form in declared.forms]
        return F.coalesce(*times)
    if declared.number is not None:
        text = _digits(text, declared.number, decimal)
    if declared.type == "long":
        whole = F.expr(f"try_cast({sql} AS BIGINT)") if declared.number is None else text.cast("bigint")
        return F.when(text.rlike(WHOLE), whole)
    number = text if decimal == "." else F.translate(text, ",.", ".,")
    return F.when(F.trim(number).rlike(NUMBER), number.cast("double"))


def written(number: Number, decimal: str) -> str:
    """The syntax of a written number, for Java and Python; its three groups are two signs and the digits.

    Thousands are groups of three digits.
    """
    prefix, suffix, mark, between = map(re.escape, (number.prefix, number.suffix, decimal, number.thousands))
    grouped = rf"\d{{1,3}}(?:{between}\d{{3}})+(?:{mark}\d*)?" if between else r"\d+"
    digits = rf"({grouped}|(?:\d+{mark}?\d*|{mark}\d+)(?:[eE][+-]?\d+)?)"
    return rf"^([+-]?){_BLANK}(?:{prefix})?{_BLANK}([+-]?){digits}{_BLANK}(?:{suffix})?$"


def _digits(text: SparkColumn, number: Number, decimal: str) -> SparkColumn:
    """The sign and digits of a written number, without separators; empty where it is none."""
    syntax = written(number, decimal)
    parts = [F.regexp_extract(F.trim(text), syntax, at) for at in (1, 2, 3)]
    return F.concat(*parts[:2], F.translate(parts[2], number.thousands, "") if number.thousands else parts[2])


def refuse_unreadable(where: object, columns: Iterable[tuple[StructField, TableColumn]]) -> None:
    """Raises BadData for columns whose types cannot be cast to the declared ones."""
    BadData.unless_empty(
        Fault(
            where=str(where),
            message=f"column {field.name!r} is {field.dataType.simpleString()}, which is read as no {declared.type}; "
            "make a column of single values of it, or leave it out",
        )
        for field, declared in columns
        if not isinstance(field.dataType, _READ_FROM[declared.type])
    )
