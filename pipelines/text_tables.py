"""Tables that stand in files of text: CSV and JSON lines, of which each line or row is kept beside its values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from csv import reader
from pathlib import Path

from pyspark import RDD
from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from pipelines.lines import Encoding, first_line, numbered_each
from pipelines.quoted import Values
from pipelines.rows import iso_time
from pipelines.table_columns import CORRUPT, MISFIT, TYPES, Layout
from tracking.faults import BadData

MORE = "is no single JSON object"
OPEN_QUOTE = "a quote is not closed"
WHITESPACE = "whitespace"
QUOTES = {"quote": '"', "escape": '"'}
"""A quote inside a quoted value is doubled, as RFC 4180 says and all programs write; Spark's default is a backslash."""
MOST_VALUES = 20_000
"""Values of a line; Spark's reader breaks down at more."""
NUMBER = r"(?i)^[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf|infinity|nan)$"
"""How a number is written; Java would also read `12d`, `7f` and `0x1p3`."""


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
