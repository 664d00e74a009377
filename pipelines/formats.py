"""Reads files of tables into the columns that were declared for them, a row at a time and without losing one.

A table is one file, or several of one shape. Every reader gives the declared columns and four more: `_part` (the place
of the row's file among them) and `_number` (the row's line, from 1), both 0 where there are no lines; `_line` (its
text, null where there is none) and `_corrupt` (why it could not be read by the declared types; null for a good row).
"""

from __future__ import annotations

import functools
import operator
import os
from collections.abc import Callable, Mapping, Sequence
from csv import reader
from pathlib import Path
from typing import Literal, Self

from py4j.protocol import Py4JJavaError
from pydantic import BaseModel, Field, model_validator
from pyspark import RDD
from pyspark.errors import AnalysisException
from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame, SparkSession
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
    StructField,
    StructType,
    TimestampNTZType,
    TimestampType,
)

from pipelines import parquet
from pipelines.lines import Encoding, first_line, numbered_each
from pipelines.quoted import Values
from pipelines.rows import escaped, iso_time, named
from tracking.faults import BadData, BadEnvironment
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
MORE = "is no single JSON object"
OPEN_QUOTE = "a quote is not closed"
WHITESPACE = "whitespace"
QUOTES = {"quote": '"', "escape": '"'}
"""A quote inside a quoted value is doubled, as RFC 4180 says and all programs write; Spark's default is a backslash."""
MOST_VALUES = 20_000
"""Values of a line; Spark's reader breaks down at more."""
MOST_DIGITS = 18
"""Of whole numbers that an int64 holds, whatever they are."""
NUMBER = r"(?i)^[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf|infinity|nan)$"
"""How a number is written; Java would also read `12d`, `7f` and `0x1p3`."""


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


def csv(spark: SparkSession, paths: Sequence[Path], layout: Layout) -> DataFrame:
    """Raises BadData for a file that is empty, no UTF-8, or whose header lacks a column or is not the first's."""
    names = _header(paths, layout) if layout.header else list(layout.columns)
    blanks = layout.delimiter == WHITESPACE
    is_row = None if blanks else Values(layout.delimiter, len(names))
    options = {
        "sep": "\t" if blanks else layout.delimiter,
        "nullValue": layout.null,
        "mode": "PERMISSIVE",
        "columnNameOfCorruptRecord": CORRUPT,
        **QUOTES,
        "ignoreLeadingWhiteSpace": "true",
        "ignoreTrailingWhiteSpace": "true",
    }
    lines = numbered_each(spark, paths, layout.encoding, is_row).where("length(trim(line)) > 0")
    if layout.header:
        lines = lines.where("number > 1")
    text = F.regexp_replace(F.trim("line"), r"\s+", "\t") if blanks else F.col("line")
    text = F.when(_count("line", options["sep"]) < MOST_VALUES, text).otherwise("")
    places = [f"c{at}" for at in range(len(names))]  # names of columns may hold anything, and the schema is a text
    # the form of a number is looked at, too: what Spark reads as one is Java's
    kinds = ["string" if kind == "double" else kind for kind in _read_as(layout, names)]
    schema = _struct(places, kinds).simpleString()
    rows = lines.withColumn("_row", F.from_csv(text, schema, options))
    frame = _columns(rows, layout, dict(zip(names, places, strict=True)))
    count = len(names)
    reasons = [F.when(_count("_line", '"') % 2 == 1, OPEN_QUOTE)]
    reasons.append(F.when(_count("_line", options["sep"]) >= MOST_VALUES, f"has other than {count} values"))
    if not layout.header:
        pieces = F.size(F.split(F.trim("_line"), r"\s+" if blanks else f"\\{layout.delimiter}", -1))
        reasons.append(F.when(F.col(CORRUPT).isNotNull() & (pieces != count), f"has other than {count} values"))
    return frame.withColumn(CORRUPT, F.coalesce(*reasons, F.col(CORRUPT)))


def csv_rows(spark: SparkSession, paths: Sequence[Path], delimiter: str, encoding: Encoding) -> RDD[str] | None:
    """The rows of CSV files as texts where one may go on over several lines: Spark's own reader knows no such rows."""
    if delimiter == WHITESPACE or not leaves_quotes_open(spark, [f"file:{path}" for path in paths]):
        return None
    return numbered_each(spark, paths, encoding, Values(delimiter)).rdd.map(lambda row: str(row.line))


def leaves_quotes_open(spark: SparkSession, urls: Sequence[str]) -> bool:
    """Whether a line of text files has a quote that it does not close."""
    return not spark.read.text(list(urls)).where(_count("value", '"') % 2 == 1).isEmpty()


def jsonl(spark: SparkSession, paths: Sequence[Path], layout: Layout) -> DataFrame:
    """One flat object a line; members that no column is declared for are not looked at."""
    options = {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": CORRUPT}
    lines = numbered_each(spark, paths).where("length(trim(line)) > 0")
    names = list(layout.columns)
    rows = lines.withColumn("_row", F.from_json("line", _struct(names, _read_as(layout, names)), options))
    # Spark reads the first object of a line, and of members that come twice the last one, and says nothing
    whole = F.from_json(F.concat(F.lit("["), "_line", F.lit("]")), "array<map<string,string>>")
    members = F.map_keys(F.get(whole, F.lit(0)))
    reasons = [F.when(F.coalesce(F.size(whole), F.lit(-1)) != 1, MORE)]
    reasons.append(F.when(F.size(members) != F.size(F.array_distinct(members)), "a member comes twice"))
    frame = _columns(rows, layout, {name: name for name in names})
    return frame.withColumn(CORRUPT, F.coalesce(F.col(CORRUPT), *reasons))


def read_parquet(spark: SparkSession, paths: Sequence[Path], layout: Layout) -> DataFrame:
    """Raises BadData for a file that is none, or lacks a column."""
    frames = [typed(parquet.read(spark, *alike), alike[0], layout) for alike in parquet.alike(paths)]
    return functools.reduce(DataFrame.unionByName, frames)


def orc(spark: SparkSession, paths: Sequence[Path], layout: Layout) -> DataFrame:
    """Raises BadData for a file that is none, or a table that lacks a column."""
    try:
        # else Spark would take the schema of one file for that of all
        reader = spark.read.option("mergeSchema", len(paths) > 1)
        frame = reader.orc([f"file:{path}" for path in paths])
    except (AnalysisException, Py4JJavaError) as error:
        raise BadData.at(paths[0], f"cannot be read as ORC ({str(error).splitlines()[0]})") from error
    return typed(frame, paths[0], layout)


def jdbc(spark: SparkSession, url: str, table: str, environment: Mapping[str, str] = os.environ) -> DataFrame:
    """A table of a database; user and password from MILLSTREAM_JDBC_USER and _PASSWORD, never from the recipe."""
    reader = spark.read.format("jdbc").option("url", url).option("dbtable", table)
    for option in ("user", "password"):
        if value := environment.get(f"MILLSTREAM_JDBC_{option.upper()}"):
            reader = reader.option(option, value)
    try:
        return reader.load()
    except Exception as error:  # a driver raises whatever it likes
        told = str(error).splitlines()[0].replace(environment.get("MILLSTREAM_JDBC_PASSWORD") or "\0", "***")
        raise BadEnvironment.at(
            url.partition("?")[0], f"cannot be read ({told}); is the driver on Spark's path?"
        ) from None


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


def _struct(names: list[str], kinds: list[str]) -> StructType:
    fields = [StructField(name, TYPES[kind]) for name, kind in zip(names, kinds, strict=True)]
    return StructType([*fields, StructField(CORRUPT, StringType())])


def _read_as(layout: Layout, names: list[str]) -> list[str]:
    """The declared types, and text for times, which are read by their own form, and for columns nobody asked for."""
    kinds = [layout.columns[name].type if name in layout.columns else "string" for name in names]
    return ["string" if kind == "timestamp" else kind for kind in kinds]


def _count(column: str, sign: str) -> SparkColumn:
    """How often a sign comes in a text."""
    return F.length(column) - F.length(F.translate(column, sign, ""))


def _columns(parsed: DataFrame, layout: Layout, fields: Mapping[str, str]) -> DataFrame:
    """The declared columns; `fields` says what each is called in the record `_row`."""
    values, lost, record = [], [], parsed.schema["_row"].dataType
    for name, one in layout.columns.items():
        value: SparkColumn = F.col("_row").getField(fields[name])
        if one.type == "timestamp":
            text = value
            value = F.try_to_timestamp(text, F.lit(one.form)) if one.form else iso_time(text)
            lost.append(F.when(value.isNull() & text.isNotNull(), f"{name} is no time of the form {one.form or 'ISO'}"))
        elif one.type == "double" and record[fields[name]].dataType == StringType():
            text = value if layout.decimal == "." else F.translate(value, ",.", ".,")
            value = F.when(F.trim(text).rlike(NUMBER), text.cast("double"))
            lost.append(F.when(value.isNull() & text.isNotNull(), MISFIT))
        values.append(value.alias(name))
    corrupt = F.coalesce(*lost, F.when(F.col("_row")[CORRUPT].isNotNull(), MISFIT)).alias(CORRUPT)
    places = [F.col(name).alias(alias) for name, alias in (("file", "_part"), ("number", "_number"), ("line", "_line"))]
    return parsed.select(*places, corrupt, *values)


def _header(paths: Sequence[Path], layout: Layout) -> list[str]:
    names = _names(paths[0], layout)
    missing = [name for name in layout.columns if name not in names]
    if missing:
        told = f"the header names {[name[:40] for name in names[:20]]}; {missing} are missing"
        raise BadData.at(f"{paths[0]}:1", f"{told}: is the delimiter {layout.delimiter!r} right?")
    if len(set(names)) < len(names):
        raise BadData.at(f"{paths[0]}:1", f"a column comes twice in the header {names}")
    others = [path for path in paths[1:] if _names(path, layout) != names]
    if others:
        told = f"the header is another than that of {paths[0].name}; name each file of the folder by itself"
        raise BadData.at(f"{others[0]}:1", told)
    return names


def _names(path: Path, layout: Layout) -> list[str]:
    if layout.delimiter == WHITESPACE:
        return first_line(path, layout.encoding).split()
    row = first_line(path, layout.encoding, Values(layout.delimiter))
    return [name.strip() for name in next(reader([row], delimiter=layout.delimiter))]


Reader = Callable[[SparkSession, Sequence[Path], Layout], DataFrame]
READERS: dict[str, Reader] = {
    "csv": csv,
    "jsonl": jsonl,
    "parquet": read_parquet,
    "orc": orc,
}
