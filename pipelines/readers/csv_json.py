"""Reads CSV and JSON lines; each row keeps its source text in addition to its values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from csv import reader
from pathlib import Path

from pyspark import RDD
from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DataType, MapType, StringType, StructField, StructType

from millstream.pipelines.readers.casts import from_text
from millstream.pipelines.readers.lines import JAVA_NAMES, Encoding, first_line, numbered_each
from millstream.pipelines.readers.multiline_csv import Values
from millstream.pipelines.readers.table_schema import CORRUPT, MISFIT, NOUNS, TYPES, Layout, TableColumn
from millstream.pipelines.spark.frames import escaped, iso_time, named
from millstream.tracking.errors import BadData

MORE = "is no single JSON object"
OPEN_QUOTE = "a quote is not closed"
WHITESPACE = "whitespace"
QUOTES = {"quote": '"', "escape": '"'}
"""A quote inside a quoted value is doubled, as in RFC 4180 and most programs; Spark's default is a backslash."""
MOST_VALUES = 20_000
"""Maximal values per line; Spark's parser fails on more."""


def csv(spark: SparkSession, paths: Sequence[Path], layout: Layout) -> DataFrame:
    """Raises BadData for a file that is empty or no UTF-8, or whose header lacks a column or differs among files."""
    names = _declared_in_header(paths, layout) if layout.header else list(layout.columns)
    return columns_of(csv_texts(spark, paths, layout, names), layout, cells(names))


def csv_texts(spark: SparkSession, paths: Sequence[Path], layout: Layout, names: Sequence[str]) -> DataFrame:
    """The values of CSV files as strings in the struct `_row`, with the field names of `cells`.

    Further columns: `file`, `number`, `line`, and `_broken`, why a line does not have one value per column.
    """
    return cells_of(numbered_each(spark, paths, layout.encoding, rows_of(layout, names)), layout, names)


def rows_of(layout: Layout, names: Sequence[str]) -> Values | None:
    """What joins the lines of a multi-line row; None where each row is one line."""
    return None if layout.delimiter == WHITESPACE else Values(layout.delimiter, len(names))


def cells_of(lines: DataFrame, layout: Layout, names: Sequence[str]) -> DataFrame:
    """As `csv_texts`, of numbered lines: `line`, `number` and `file`."""
    blanks, count = layout.delimiter == WHITESPACE, len(names)
    options = {
        "sep": "\t" if blanks else layout.delimiter,
        "nullValue": layout.nulls[0],
        "mode": "PERMISSIVE",
        "columnNameOfCorruptRecord": CORRUPT,
        **QUOTES,
        "ignoreLeadingWhiteSpace": "true",
        "ignoreTrailingWhiteSpace": "true",
    }
    lines = lines.where("length(trim(line)) > 0")
    if layout.header:
        lines = lines.where("number > 1")
    text = F.regexp_replace(F.trim("line"), r"\s+", "\t") if blanks else F.col("line")
    text = F.when(_count("line", options["sep"]) < MOST_VALUES, text).otherwise("")
    fields = list(cells(names).values())
    schema = _struct({place: StringType() for place in fields}).simpleString()
    rows = lines.withColumn("_row", F.from_csv(text, schema, options))
    if len(layout.nulls) > 1:
        kept = [F.when(~F.col("_row")[one].isin(*layout.nulls), F.col("_row")[one]).alias(one) for one in fields]
        rows = rows.withColumn("_row", F.struct(*kept, F.col("_row")[CORRUPT].alias(CORRUPT)))
    reasons = [F.when(_count("line", '"') % 2 == 1, OPEN_QUOTE)]
    reasons.append(F.when(_count("line", options["sep"]) >= MOST_VALUES, f"has other than {count} values"))
    if not layout.header:
        pieces = F.size(F.split(F.trim("line"), r"\s+" if blanks else f"\\{layout.delimiter}", -1))
        reasons.append(F.when(F.col("_row")[CORRUPT].isNotNull() & (pieces != count), f"has other than {count} values"))
    return rows.withColumn("_broken", F.coalesce(*reasons, F.when(F.col("_row")[CORRUPT].isNotNull(), MISFIT)))


def cells(names: Sequence[str]) -> dict[str, str]:
    """Field names of the columns in the struct `_row`: its schema is a DDL string, but column names may be anything."""
    return {name: f"c{at}" for at, name in enumerate(names)}


def csv_rows(spark: SparkSession, paths: Sequence[Path], delimiter: str, encoding: Encoding) -> RDD[str] | None:
    """The rows of CSV files as texts if some may be multi-line, which Spark's own reader does not join; else None."""
    if delimiter == WHITESPACE or not leaves_quotes_open(spark, [f"file:{path}" for path in paths]):
        return None
    return texts(numbered_each(spark, paths, encoding, Values(delimiter)))


def texts(lines: DataFrame) -> RDD[str]:
    """The texts of numbered lines, as Spark's own readers take them."""
    return lines.select("line").rdd.map(lambda row: str(row.line))


def seen(spark: SparkSession, content: RDD[str] | list[str], layout: Layout) -> DataFrame:
    """CSV texts or files with inferred types; a time of day stays text, as Spark would parse it as a time of today."""
    options = {"header": "true", "sep": layout.delimiter, "nullValue": layout.nulls[0], **QUOTES}
    options["encoding"] = JAVA_NAMES[layout.encoding]
    texts = spark.read.options(**options).csv(content)
    frame = spark.read.options(**options, inferSchema="true").csv(content)
    times = [field.name for field in frame.schema.fields if field.dataType.typeName().startswith("timestamp")]
    others = [F.count_if(named(name).isNotNull() & iso_time(named(name)).isNull()) for name in times]
    odd = texts.agg(*others).collect()[0] if times else ()
    days = [name for name, count in zip(times, odd, strict=True) if count]
    return frame.select(
        *(named(name).cast("string").alias(name) if name in days else named(name) for name in frame.columns)
    )


def leaves_quotes_open(spark: SparkSession, urls: Sequence[str]) -> bool:
    """Whether a line of the text files has an unclosed quote."""
    return not spark.read.text(list(urls)).where(_count("value", '"') % 2 == 1).isEmpty()


def jsonl(spark: SparkSession, paths: Sequence[Path], layout: Layout) -> DataFrame:
    """One flat object per line; undeclared members are ignored."""
    return columns_of(judged_json(json_rows(spark, paths, layout)), layout, {name: name for name in layout.columns})


def judged_json(rows: DataFrame) -> DataFrame:
    """The rows of `json_rows`, with a member of another type as a reason, too."""
    misfit = F.when(F.col("_row")[CORRUPT].isNotNull(), MISFIT)
    return rows.withColumn("_broken", F.coalesce(misfit, "_broken"))


def json_rows(spark: SparkSession, paths: Sequence[Path], layout: Layout) -> DataFrame:
    """Declared members of each line in the struct `_row`, timestamps as strings; `_broken`: why a line is invalid."""
    return members_of(numbered_each(spark, paths), layout)


def members_of(lines: DataFrame, layout: Layout) -> DataFrame:
    """As `json_rows`, of numbered lines."""
    options = {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": CORRUPT}
    lines = lines.where("length(trim(line)) > 0")
    kinds = {name: StringType() if one.type == "timestamp" else TYPES[one.type] for name, one in layout.columns.items()}
    rows = lines.withColumn("_row", F.from_json("line", _struct(kinds), options))
    # Spark silently reads only the first object of a line, and the last one of duplicate members
    whole = F.from_json(F.concat(F.lit("["), "line", F.lit("]")), "array<map<string,string>>")
    members = F.map_keys(F.get(whole, F.lit(0)))
    reasons = [F.when(F.coalesce(F.size(whole), F.lit(-1)) != 1, MORE)]
    reasons.append(F.when(F.size(members) != F.size(F.array_distinct(members)), "a member comes twice"))
    reasons += [_nested(name) for name, kind in kinds.items() if kind == StringType()]
    return rows.withColumn("_broken", F.coalesce(*reasons))


def _nested(name: str) -> SparkColumn:
    """The reason if a member is no string: Spark reads a list or an object as its JSON text."""
    kinds = (ArrayType(StringType()), MapType(StringType(), StringType()))
    read = [F.from_json("line", StructType([StructField(name, kind)])).getField(name) for kind in kinds]
    looks_so = F.expr(f"_row.{escaped(name)}").rlike(r"^[\[{]")
    return F.when(looks_so & (read[0].isNotNull() | read[1].isNotNull()), f"{name} is a list or an object")


def _struct(kinds: Mapping[str, DataType]) -> StructType:
    fields = [StructField(name, kind) for name, kind in kinds.items()]
    return StructType([*fields, StructField(CORRUPT, StringType())])


def _count(column: str, sign: str) -> SparkColumn:
    """Number of occurrences of a character in a text."""
    return F.length(column) - F.length(F.translate(column, sign, ""))


def columns_of(parsed: DataFrame, layout: Layout, fields: Mapping[str, str]) -> DataFrame:
    """The declared columns; `fields` maps them to the fields of the struct `_row`."""
    values, lost = [], []
    for name, declared in layout.columns.items():
        value = value_of(parsed, fields[name], declared, layout)
        forms = f" of the form {' or '.join(form or 'ISO' for form in declared.forms)}"
        reason = f"{name} is no {NOUNS[declared.type]}{forms if declared.type == 'timestamp' else ''}"
        lost.append(F.when(value.isNull() & F.expr(_cell(fields[name])).isNotNull(), reason))
        values.append(value.alias(name))
    places = [F.col(name).alias(alias) for name, alias in (("file", "_part"), ("number", "_number"), ("line", "_line"))]
    return parsed.select(*places, F.coalesce("_broken", *lost).alias(CORRUPT), *values)


def value_of(parsed: DataFrame, name: str, declared: TableColumn, layout: Layout) -> SparkColumn:
    """A value of the struct `_row`, parsed if it is a string there."""
    if parsed.schema["_row"].dataType[name].dataType == StringType():
        return from_text(_cell(name), declared, layout.decimal)
    return F.expr(_cell(name))


def _cell(name: str) -> str:
    return f"_row.{escaped(name)}"


def _declared_in_header(paths: Sequence[Path], layout: Layout) -> list[str]:
    names = header(paths, layout)
    missing = [name for name in layout.columns if name not in names]
    if missing:
        message = f"the header names {[name[:40] for name in names[:20]]}; {missing} are missing"
        raise BadData.at(f"{paths[0]}:1", f"{message}: is the delimiter {layout.delimiter!r} right?")
    return [name or f"_c{at}" for at, name in enumerate(names)]


def header(paths: Sequence[Path], layout: Layout) -> list[str]:
    """Column names in the header of CSV files. Raises BadData for duplicates, or when the headers differ."""
    names = first_row(paths[0], layout)
    named = [name for name in names if name]  # spreadsheets leave empty columns at the end
    if len(set(named)) < len(named):
        raise BadData.at(f"{paths[0]}:1", f"a column comes twice in the header {names}")
    others = [path for path in paths[1:] if first_row(path, layout) != names]
    if others:
        message = f"the header is another than that of {paths[0].name}; name each file of the folder by itself"
        raise BadData.at(f"{others[0]}:1", message)
    return names


def first_row(path: Path, layout: Layout) -> list[str]:
    if layout.delimiter == WHITESPACE:
        return first_line(path, layout.encoding).split()
    row = first_line(path, layout.encoding, Values(layout.delimiter))
    # blanks before a quote, without which it would not open a value
    return [name.strip() for name in next(reader([row], delimiter=layout.delimiter, skipinitialspace=True))]
