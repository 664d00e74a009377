"""Tables of stored files: their declared columns with the position of each row, or the types of all columns.

A row is known by the path of its file relative to the root and its position there (line, or number of the row), so
that its identity depends neither on the place nor on the tasks that read it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Literal

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from millstream.pipelines.readers import csv_json
from millstream.pipelines.readers.casts import typed
from millstream.pipelines.readers.stored import columnar, text_files
from millstream.pipelines.readers.stored.listing import partition
from millstream.pipelines.readers.table_schema import Layout
from millstream.pipelines.table import StoredFile
from millstream.tracking.errors import BadData

Format = Literal["csv", "jsonl", "parquet", "orc"]


def filled(files: Sequence[StoredFile]) -> list[StoredFile]:
    """The files without empty ones, as Hive writes them. Raises BadData if all are empty."""
    found = [file for file in files if file.bytes]
    if not found:
        raise BadData.at(files[0].where, f"all of the {len(files)} files are empty; write the table again")
    return found


def rows(spark: SparkSession, files: Sequence[StoredFile], form: Format, layout: Layout) -> DataFrame:
    """The declared columns, and `_file`, `_number` (from 1), `_line` and `_corrupt` as the readers of local files.

    Raises BadData for a file that cannot be read, or that lacks a column.
    """
    partitions = list(partition(files[0].name))
    if form in ("parquet", "orc"):
        read = [name for name in layout.columns if name not in partitions]
        frames = columnar.frames(spark, files, form, read)
        where = files[0].where
        return reduce(
            DataFrame.unionByName, (typed(one, where, layout, columnar.POSITION, partitions) for one in frames)
        )
    if form == "csv":
        names = _names(spark, files, layout)
        lines = text_files.numbered(spark, files, layout.encoding, csv_json.rows_of(layout, names))
        parsed, fields = csv_json.cells_of(lines, layout, names), csv_json.cells(names)
    else:
        lines = text_files.numbered(spark, files, "utf-8")
        of_lines = {name: one for name, one in layout.columns.items() if name not in partitions}
        parsed = csv_json.members_of(lines, layout.model_copy(update={"columns": of_lines}))
        parsed, fields = csv_json.judged_json(parsed), {name: name for name in of_lines}
    parsed, fields = _with_partitions(parsed, fields, partitions)
    return csv_json.columns_of(parsed, layout, fields).withColumnRenamed("_part", columnar.FILE)


def seen(spark: SparkSession, files: Sequence[StoredFile], form: Format, layout: Layout) -> DataFrame:
    """All columns with the types that Spark infers from all rows; partition columns are texts."""
    if form in ("parquet", "orc"):
        frames = [one.drop(*columnar.POSITION) for one in columnar.frames(spark, files, form, None)]
        if len({frozenset(one.columns) for one in frames}) > 1:
            raise BadData.at(files[0].where, f"files differ in their columns, as {_two(frames)}; declare those to read")
        return reduce(DataFrame.unionByName, frames)
    if form == "jsonl":
        lines = text_files.numbered(spark, files, "utf-8")
        frame = spark.read.json(csv_json.texts(lines))
    else:
        names = text_files.header(spark, files, layout)
        lines = text_files.numbered(spark, files, layout.encoding, csv_json.rows_of(layout, names))
        frame = csv_json.seen(spark, csv_json.texts(lines), layout)
    partitions = [partition(file.name) for file in files]
    # of these only the type, and whether one is null, are looked at
    return frame.withColumns(
        {
            name: F.lit(None if any(values[name] is None for values in partitions) else "").cast("string")
            for name in partitions[0]
        }
    )


def _two(frames: Sequence[DataFrame]) -> str:
    return " and ".join(str(sorted(one.columns)) for one in frames[:2])


def _with_partitions(
    parsed: DataFrame, fields: Mapping[str, str], partitions: Sequence[str]
) -> tuple[DataFrame, dict[str, str]]:
    """The rows with the partition columns in the struct `_row`, too; `fields` are those of its columns."""
    cells = {name: text_files.CELL.format(at) for at, name in enumerate(partitions)}
    twice = [name for name in partitions if name in fields]
    if twice:
        raise BadData.at(twice[0], "is a column of the files and of their folders' names; leave it out of the files")
    row = F.col("_row")
    for cell in cells.values():
        row = row.withField(f"_{cell}", F.col(cell))
    return parsed.withColumn("_row", row), {**fields, **{name: f"_{cell}" for name, cell in cells.items()}}


def _names(spark: SparkSession, files: Sequence[StoredFile], layout: Layout) -> list[str]:
    """The columns of CSV files, in their order."""
    partitions = list(partition(files[0].name))
    if not layout.header:
        return [name for name in layout.columns if name not in partitions]
    names = text_files.header(spark, files, layout)
    missing = [name for name in layout.columns if name not in names and name not in partitions]
    if missing:
        message = f"the header names {[name[:40] for name in names[:20]]}; {missing} are missing"
        raise BadData.at(f"{files[0].where}:1", f"{message}: is the delimiter {layout.delimiter!r} right?")
    return names
