"""A table to score: its columns unchanged, and the model's inputs, read as `prepare` reads its source.

Parquet, ORC and JSON lines have types, which their columns keep. CSV has strings: a column that the model's source
declares has the declared type, if all of its values are valid; other columns are integers where they are in canonical
form (`7`, not `07`), and strings otherwise.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, IntegralType, StructType

from millstream.pipelines.readers import csv_json, parquet_orc_jdbc, parquet_schema
from millstream.pipelines.readers.casts import from_text, from_type, refuse_unreadable
from millstream.pipelines.readers.row_validation import trimmed, unfit, unreadable
from millstream.pipelines.readers.table_schema import CORRUPT, NOUNS, TYPES, Layout, TableColumn
from millstream.pipelines.scoring.layout import Files, ModelInput, Reading
from millstream.pipelines.scoring.text_inputs import TextForm
from millstream.tracking.errors import BadData, Fault

PLAIN = r"^(0|-?[1-9]\d{0,17})\z"
"""Integers in canonical form: they are unchanged when parsed and printed."""
_PLAIN = TableColumn(type="long")
_SHOWN = 80
"""Characters of a value in an error message."""


@dataclass(frozen=True)
class ScoringInput:
    frame: DataFrame
    """`c0`, `c1`, ...: the columns of the table; `v0`, `v1`, ...: inputs that are parsed differently for the model."""
    names: tuple[str, ...]
    """Column names of the table."""
    inputs: Mapping[str, str]
    """Column of `frame` for each input of the model."""
    forms: Mapping[str, TextForm]
    """Of text inputs that are still as they are in the table."""


@dataclass(frozen=True)
class _Parsed:
    """`frame` has `_file` (index of the file), `_number` (line, from 1; 0 in formats without lines), `_broken` (why a
    row is invalid), `_line` (its text) and `c0`, `c1`, ..."""

    frame: DataFrame
    names: list[str]
    values: Mapping[str, SparkColumn]
    """The inputs as the declared types; null where a value is invalid."""
    texts: Mapping[str, SparkColumn]
    """The raw inputs, for error messages."""
    layout: Layout | None = None
    """Layout of CSV, whose values have no types."""


def read(spark: SparkSession, files: Files, reading: Reading) -> ScoringInput:
    """Raises BadData for files that cannot be read or lack an input, and for rows that `prepare` would quarantine."""
    parsed = _READERS[files.format(reading.format)](spark, files, reading)
    inputs = [one for one in reading.inputs if one.name in parsed.values]
    values = {one.name: _trimmed(parsed.values[one.name], one, reading.layout) for one in inputs}
    mixed = _checked(parsed, files, inputs, values)
    columns = _columns(parsed, mixed)
    places = {name: f"c{at}" for at, name in enumerate(parsed.names)}
    more: dict[str, SparkColumn] = {}
    forms: dict[str, TextForm] = {}
    for at, one in enumerate(reading.inputs):
        if one.name in values and _is_text(one, parsed):
            assert one.declared is not None
            forms[one.name] = TextForm.of(one.declared, reading.layout)
            continue
        if one.name in values and not _stands(one, parsed):
            more[f"v{at}"] = values[one.name]
        elif one.name not in places and one.declared is not None:
            more[f"v{at}"] = F.lit(None).cast(TYPES[one.declared.type])
        else:
            continue
        places[one.name] = f"v{at}"
    frame = parsed.frame.select(*columns, *(value.alias(name) for name, value in more.items()))
    return ScoringInput(frame, tuple(parsed.names), {one.name: places[one.name] for one in reading.inputs}, forms)


def _typed(spark: SparkSession, files: Files, reading: Reading) -> _Parsed:
    frame = _parquet(spark, files) if files.format(reading.format) == "parquet" else _orc(spark, files)
    names = frame.columns
    reading.check(files.where, names)
    kinds = {field.name: field.dataType for field in frame.schema.fields}
    inputs = {one.name: one.declared for one in reading.inputs if one.name in kinds and one.declared is not None}
    refuse_unreadable(files.where, ((frame.schema[name], declared) for name, declared in inputs.items()))
    places = {name: f"c{at}" for at, name in enumerate(names)}
    values = {name: from_type(places[name], kinds[name], declared) for name, declared in inputs.items()}
    none = F.lit(None).cast("string")
    more = {"_file": F.lit(0), "_number": F.lit(0).cast("long"), "_broken": none, "_line": none}
    frame = frame.toDF(*places.values()).withColumns(more)
    return _Parsed(frame, names, values, {name: F.col(places[name]).cast("string") for name in inputs})


def _parquet(spark: SparkSession, files: Files) -> DataFrame:
    frames = [parquet_schema.read(spark, *alike, root=files.root) for alike in parquet_schema.alike(files.paths)]
    kinds: dict[str, DataType] = {}
    for frame in frames:
        for field in frame.schema.fields:
            kind = kinds.setdefault(field.name, field.dataType)
            if kind != field.dataType and not (
                isinstance(kind, IntegralType) and isinstance(field.dataType, IntegralType)
            ):
                message = f"column {field.name!r} is {kind.simpleString()} in some and {field.dataType.simpleString()}"
                raise BadData.at(files.where, f"{message} in others of its files; write them with one type")
    return functools.reduce(lambda one, other: one.unionByName(other, allowMissingColumns=True), frames)


def _orc(spark: SparkSession, files: Files) -> DataFrame:
    return parquet_orc_jdbc.read_orc(spark, files.paths, files.root)


def _csv(spark: SparkSession, files: Files, reading: Reading) -> _Parsed:
    layout, names = csv_names(files.paths, reading)
    reading.check(files.where, names)
    texts = csv_json.csv_texts(spark, files.paths, layout, names)
    places = csv_json.cells(names)
    cells = [F.expr(f"_row.{place}").alias(place) for place in places.values()]
    frame = _with_places(texts, F.col("_broken"), cells)
    inputs = {one.name: one.declared for one in reading.inputs if one.name in places and one.declared is not None}
    values = {name: from_text(places[name], declared, layout.decimal) for name, declared in inputs.items()}
    return _Parsed(frame, names, values, {name: F.col(places[name]) for name in inputs}, layout)


def csv_names(paths: Sequence[Path], reading: Reading) -> tuple[Layout, list[str]]:
    """The layout and the columns of CSV files.

    Files without a header have the columns of the source: all of them, all but the target, or only the model's inputs.
    A first row that names the inputs is a header, whatever the source had.
    """
    layout = reading.layout
    first = csv_json.first_row(paths[0], layout)
    needed = [one.name for one in reading.inputs]
    required = [one.name for one in reading.inputs if not one.may_be_absent] or needed
    if layout.header or set(required) <= set(first):
        names = csv_json.header(paths, layout)
        return layout.model_copy(update={"header": True}), [name or f"_c{at}" for at, name in enumerate(names)]
    declared = layout.columns
    without_target = [name for name, column in declared.items() if column.role != "target"]
    known = (list(declared), without_target, [name for name in declared if name in needed])
    names = next((names for names in known if len(names) == len(first)), [])
    if not names:
        message = f"{len(first)} values in its first row; expected {len(declared)}, of the columns {list(declared)}"
        raise BadData.at(f"{paths[0]}:1", f"{message}, or {len(without_target)} without the target, or a header")
    return layout, names


def _jsonl(spark: SparkSession, files: Files, reading: Reading) -> _Parsed:
    reader = spark.read.option("columnNameOfCorruptRecord", CORRUPT)
    inferred = reader.json([f"file:{path}" for path in files.paths]).schema
    schema = StructType([field for field in inferred.fields if field.name != CORRUPT])
    names = schema.names
    reading.check(files.where, names)
    inputs = {one.name: one.declared for one in reading.inputs if one.name in names and one.declared is not None}
    layout = reading.layout.model_copy(update={"columns": inputs})
    rows = csv_json.json_rows(spark, files.paths, layout)
    rows = rows.withColumn("_all", F.from_json("line", schema))
    rows = rows.withColumn("_texts", F.from_json("line", "map<string,string>"))
    cells = [F.col("_all").getField(name).alias(f"c{at}") for at, name in enumerate(names)]
    frame = _with_places(rows, F.col("_broken"), [*cells, F.col("_row"), F.col("_texts")])
    values = {name: csv_json.value_of(frame, name, declared, layout) for name, declared in inputs.items()}
    return _Parsed(frame, names, values, {name: F.col("_texts")[name] for name in inputs})


def _with_places(rows: DataFrame, broken: SparkColumn, columns: Sequence[SparkColumn]) -> DataFrame:
    places = [F.col("file").alias("_file"), F.col("number").alias("_number"), F.col("line").alias("_line")]
    return rows.select(*places, F.coalesce(unreadable("line"), broken).alias("_broken"), *columns)


_READERS = {"csv": _csv, "jsonl": _jsonl, "parquet": _typed, "orc": _typed}


def _trimmed(value: SparkColumn, one: ModelInput, layout: Layout) -> SparkColumn:
    if one.declared is None or one.declared.type != "string" or not one.is_of_source:
        return value
    return trimmed(value, one.declared, layout.nulls)


def _is_text(one: ModelInput, parsed: _Parsed) -> bool:
    """Whether a text column of a typed table is brought into its form where the model predicts, which is faster."""
    if one.declared is None or one.declared.type != "string" or not one.is_of_source or parsed.layout is not None:
        return False
    return bool(parsed.frame.schema[f"c{parsed.names.index(one.name)}"].dataType == TYPES["string"])


def _is_any_text(one: ModelInput, parsed: _Parsed) -> bool:
    """Whether each text, and none, is a value of the input."""
    return _is_text(one, parsed) and one.nullable and one.declared is not None and one.declared.classes is None


def _stands(one: ModelInput, parsed: _Parsed) -> bool:
    """Whether the model reads the table's column unchanged."""
    if one.declared is None or parsed.layout is not None:
        return True
    kind = parsed.frame.schema[f"c{parsed.names.index(one.name)}"].dataType
    return kind == TYPES[one.declared.type] and one.declared.type != "string"


def _columns(parsed: _Parsed, mixed: set[str]) -> list[SparkColumn]:
    """The columns of the table; strings as their declared types, except in `mixed` columns."""
    layout = parsed.layout
    if layout is None:
        return [F.col(f"c{at}") for at in range(len(parsed.names))]
    columns = []
    for at, name in enumerate(parsed.names):
        declared, value = layout.columns.get(name, _PLAIN), F.col(f"c{at}")
        if name not in mixed:
            value = from_text(f"c{at}", declared, layout.decimal)
            value = trimmed(value, declared, layout.nulls) if declared.type == "string" else value
        columns.append(value.alias(f"c{at}"))
    return columns


def _checked(
    parsed: _Parsed, files: Files, inputs: Sequence[ModelInput], values: Mapping[str, SparkColumn]
) -> set[str]:
    """String columns that are no inputs of the model and have values that do not match their type. Raises BadData for
    all invalid rows, and for all inputs with a value that `prepare` refuses.
    """
    broken = F.col("_broken")
    reasons = {"": (broken, F.col("_line"))}
    for one in inputs:
        if one.declared is None or _is_any_text(one, parsed):
            continue
        lost = parsed.values[one.name].isNull() & parsed.texts[one.name].isNotNull()
        reason = F.when(lost, f"is no {NOUNS[one.declared.type]}")
        reason = F.coalesce(reason, unfit(values[one.name], one.declared, nullable=one.nullable))
        reasons[one.name] = (F.when(broken.isNull(), reason), parsed.texts[one.name])
    others = _others(parsed, values)
    if not others and len(reasons) == 1 and parsed.layout is None:
        return set()
    sums = []
    for at, (reason, text) in enumerate(reasons.values()):
        first = F.struct("_file", "_number", reason.alias("reason"), F.substring(text, 1, _SHOWN).alias("text"))
        sums += [F.count_if(reason.isNotNull()).alias(f"n{at}")]
        sums += [F.min(F.when(reason.isNotNull(), first)).alias(f"first{at}")]
    sums += [F.count_if(lost).alias(f"m{at}") for at, lost in enumerate(others.values())]
    sums_of = parsed.frame.agg(*sums).collect()[0]
    BadData.unless_empty(
        _fault(name, sums_of[f"first{at}"], sums_of[f"n{at}"], files)
        for at, name in enumerate(reasons)
        if sums_of[f"n{at}"]
    )
    return {name for at, name in enumerate(others) if sums_of[f"m{at}"]}


def _others(parsed: _Parsed, values: Mapping[str, SparkColumn]) -> dict[str, SparkColumn]:
    """For each string column that is no input of the model: whether a value remains a string."""
    layout, conditions = parsed.layout, {}
    for at, name in enumerate(parsed.names if layout is not None else ()):
        if layout is not None and name not in values:
            text, declared = F.col(f"c{at}"), layout.columns.get(name)
            is_kept = ~text.rlike(PLAIN) if declared is None else from_text(f"c{at}", declared, layout.decimal).isNull()
            conditions[name] = is_kept & text.isNotNull()
    return conditions


def _fault(name: str, first: Row, count: int, files: Files) -> Fault:
    at, number, reason, text = first
    where = files.paths[at] if number else files.where
    line = f"line {number}" if number else ""
    rows = f"{count} such row{'s' if count > 1 else ''}"
    shown = f": {text!r}" if text is not None else ""
    if not name:
        return Fault(where=str(where), message=f"{line} {reason}{shown} ({rows})")
    return Fault(where=str(where), message=f"column {name!r} {reason}{' in ' + line if line else ''}{shown} ({rows})")
