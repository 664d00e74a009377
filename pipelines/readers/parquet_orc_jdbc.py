"""Reads table files into their declared columns; invalid rows are kept, with the reason.

A table is one file, or several with the same schema. Every reader returns the declared columns and four more: `_part`
(index of the row's file) and `_number` (line, from 1), both 0 in formats without lines (but see `numbered_parquet`);
`_line` (its text, null in formats without lines) and `_corrupt` (why the row does not match the declared types; null
for a valid row).
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from py4j.protocol import Py4JJavaError
from pydantic import BaseModel, Field
from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, DataFrameReader, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import DateType, NumericType, TimestampNTZType, TimestampType

from millstream.pipelines.readers import csv_json, parquet_schema
from millstream.pipelines.readers.casts import typed
from millstream.pipelines.readers.table_schema import Layout
from millstream.pipelines.spark import cluster
from millstream.tracking.errors import BadData, BadEnvironment

FETCHED_ROWS = 10_000
"""Rows that a connection fetches at once."""
_RANGED = (NumericType, DateType, TimestampType, TimestampNTZType)


def read_parquet(spark: SparkSession, paths: Sequence[Path], layout: Layout) -> DataFrame:
    """Raises BadData for a file that is no Parquet, or lacks a column."""
    frames = [typed(parquet_schema.read(spark, *alike), alike[0], layout) for alike in parquet_schema.alike(paths)]
    return functools.reduce(DataFrame.unionByName, frames)


def numbered_parquet(spark: SparkSession, paths: Sequence[Path], layout: Layout) -> DataFrame:
    """As `read_parquet`, with the file of each row in `_part` and its place there, from 1, in `_number`.

    For a table without a column that names its rows.
    """
    frames = []
    for at, path in enumerate(paths):
        frame = parquet_schema.read(spark, path)
        places = {"_part": F.lit(at), "_number": F.col("_metadata.row_index") + 1}
        frames.append(typed(frame.withColumns(places), path, layout, tuple(places)))
    return functools.reduce(DataFrame.unionByName, frames)


def orc(spark: SparkSession, paths: Sequence[Path], layout: Layout) -> DataFrame:
    """Raises BadData for a file that is no ORC, or a table that lacks a column."""
    return typed(read_orc(spark, paths), paths[0], layout)


def read_orc(spark: SparkSession, paths: Sequence[Path], root: Path | None = None) -> DataFrame:
    """All columns; with `root`, folder names below it (`day=1`) are partition columns."""
    try:
        # otherwise Spark would use the schema of one file for all
        reader = spark.read.option("mergeSchema", len(paths) > 1)
        reader = reader if root is None else reader.option("basePath", f"file:{root}")
        return reader.orc([f"file:{path}" for path in paths])
    except (AnalysisException, Py4JJavaError) as error:
        raise BadData.at(paths[0], f"cannot be read as ORC ({cluster.cause(error)})") from error


class Ranges(BaseModel, frozen=True, extra="forbid"):
    """Ranges of a column's values that are read in parallel, each over a connection of its own."""

    column: str = Field(min_length=1, description="a column of numbers, dates or times, at best with an index")
    count: int = Field(8, ge=2, le=1000, description="ranges of equal width between its least and greatest value")


def jdbc(
    spark: SparkSession,
    url: str,
    table: str,
    environment: Mapping[str, str] = os.environ,
    ranges: Ranges | None = None,
) -> DataFrame:
    """A database table; user and password from MILLSTREAM_JDBC_USER and _PASSWORD, never from the recipe.

    Raises BadEnvironment when it cannot be read, and BadData where the column of `ranges` has none.
    """
    # PostgreSQL's driver would hold all rows of a connection in memory
    reader = spark.read.format("jdbc").option("url", url).option("fetchsize", FETCHED_ROWS)
    for option in ("user", "password"):
        if value := environment.get(f"MILLSTREAM_JDBC_{option.upper()}"):
            reader = reader.option(option, value)
    try:
        frame = reader.option("dbtable", table).load()
        bounds = None if ranges is None else _bounds(reader, frame, url, table, ranges)
        return frame if bounds is None else reader.options(**bounds).option("dbtable", table).load()
    except BadData:
        raise
    except Exception as error:  # drivers raise errors of any class
        problem = str(error).splitlines()[0].replace(environment.get("MILLSTREAM_JDBC_PASSWORD") or "\0", "***")
        raise BadEnvironment.at(
            url.partition("?")[0], f"cannot be read ({problem}); is the driver on Spark's path?"
        ) from None


def _bounds(
    reader: DataFrameReader, frame: DataFrame, url: str, table: str, ranges: Ranges
) -> dict[str, str | int] | None:
    """Spark's options for the ranges; None for a table without rows, or with one value of the column.

    The first and the last range are open, so that no row is lost that is written meanwhile; nulls are in the first.
    """
    kinds = {field.name: field.dataType for field in frame.schema.fields}
    kind = kinds.get(ranges.column)
    if not isinstance(kind, _RANGED):
        found = "no such column" if kind is None else f"is {kind.simpleString()}, which has no ranges"
        fit = [name for name, one in kinds.items() if isinstance(one, _RANGED)]
        raise BadData.at(f"{table}.{ranges.column}", f"{found}; give one of {fit}")
    dialect = frame.sparkSession.sparkContext._jvm.org.apache.spark.sql.jdbc.JdbcDialects.get(url)
    column = dialect.quoteIdentifier(ranges.column)
    bounds = f"(SELECT MIN({column}) AS low, MAX({column}) AS high FROM {table}) bounds"
    low, high = reader.option("dbtable", bounds).load().collect()[0]
    if low is None or low == high:
        return None
    if isinstance(kind, NumericType):
        low, high = math.floor(low), math.ceil(high)
    return {
        "partitionColumn": ranges.column,
        "lowerBound": str(low),
        "upperBound": str(high),
        "numPartitions": ranges.count,
    }


Reader = Callable[[SparkSession, Sequence[Path], Layout], DataFrame]
READERS: dict[str, Reader] = {
    "csv": csv_json.csv,
    "jsonl": csv_json.jsonl,
    "parquet": read_parquet,
    "orc": orc,
}
