"""Reads table files into their declared columns; invalid rows are kept, with the reason.

A table is one file, or several with the same schema. Every reader returns the declared columns and four more: `_part`
(index of the row's file) and `_number` (line, from 1), both 0 in formats without lines; `_line` (its text, null in
formats without lines) and `_corrupt` (why the row does not match the declared types; null for a valid row).
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from py4j.protocol import Py4JJavaError
from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession

from millstream.pipelines.readers import csv_json, parquet_schema
from millstream.pipelines.readers.casts import typed
from millstream.pipelines.readers.table_schema import Layout
from millstream.pipelines.spark import cluster
from millstream.tracking.errors import BadData, BadEnvironment


def read_parquet(spark: SparkSession, paths: Sequence[Path], layout: Layout) -> DataFrame:
    """Raises BadData for a file that is no Parquet, or lacks a column."""
    frames = [typed(parquet_schema.read(spark, *alike), alike[0], layout) for alike in parquet_schema.alike(paths)]
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


def jdbc(spark: SparkSession, url: str, table: str, environment: Mapping[str, str] = os.environ) -> DataFrame:
    """A database table; user and password from MILLSTREAM_JDBC_USER and _PASSWORD, never from the recipe."""
    reader = spark.read.format("jdbc").option("url", url).option("dbtable", table)
    for option in ("user", "password"):
        if value := environment.get(f"MILLSTREAM_JDBC_{option.upper()}"):
            reader = reader.option(option, value)
    try:
        return reader.load()
    except Exception as error:  # drivers raise errors of any class
        problem = str(error).splitlines()[0].replace(environment.get("MILLSTREAM_JDBC_PASSWORD") or "\0", "***")
        raise BadEnvironment.at(
            url.partition("?")[0], f"cannot be read ({problem}); is the driver on Spark's path?"
        ) from None


Reader = Callable[[SparkSession, Sequence[Path], Layout], DataFrame]
READERS: dict[str, Reader] = {
    "csv": csv_json.csv,
    "jsonl": csv_json.jsonl,
    "parquet": read_parquet,
    "orc": orc,
}
