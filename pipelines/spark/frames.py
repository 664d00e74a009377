"""Spark DataFrames: schemas from the manifest's columns, escaped names, hashes, Arrow and pandas functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

import pandas as pd
import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    DataType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    ShortType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

from millstream.pipelines.spark import arrow_pandas
from millstream.pipelines.table import Table
from millstream.tracking.dataset.records import Column as ColumnFacts

_SCALARS: dict[str, DataType] = {
    "string": StringType(),
    "float32": FloatType(),
    "float64": DoubleType(),
    "uint8": ShortType(),
    "int16": ShortType(),
    "int32": IntegerType(),
    "int64": LongType(),
    "datetime64[us]": TimestampType(),
}
SPLIT = "split"
PLACES = ("sample_id", "parent_id", "op", SPLIT)
ROWS_A_GROUP = 100_000
LEAST_GROUPS = 16


def spark_type(column: ColumnFacts) -> DataType:
    """The Parquet type of a column."""
    if column.layout == "tensor":
        return BinaryType()
    scalar = _SCALARS[column.dtype]
    return ArrayType(scalar) if column.layout == "list" else scalar


def schema_of(columns: tuple[ColumnFacts, ...]) -> StructType:
    """Schema of a frame: lineage, split and columns, in this order."""
    places = [StructField(name, StringType()) for name in PLACES]
    return StructType([*places, *(StructField(column.name, spark_type(column)) for column in columns)])


def from_pandas(spark: SparkSession, rows: pd.DataFrame, columns: tuple[ColumnFacts, ...]) -> Table:
    """A table from pandas; `rows` has sample_id and the columns, and optionally split."""
    schema = schema_of(columns)
    full = rows.reindex(columns=schema.names)
    full = full.astype(dict.fromkeys(PLACES, object)).where(full.notna(), None)
    return Table(spark.createDataFrame(full, schema), columns)


def with_places(frame: DataFrame) -> DataFrame:
    """The frame with missing columns of parent_id, op and split added as nulls."""
    for name in PLACES[1:]:
        if name not in frame.columns:
            frame = frame.withColumn(name, F.lit(None).cast("string"))
    return frame


def unfit_names(names: Iterable[str]) -> list[str]:
    """Faults of a file's column names: Spark is case-insensitive, and some names are reserved."""
    names = list(names)
    lower = Counter(name.lower() for name in names)
    twins = [sorted(name for name in names if name.lower() == one) for one, count in lower.items() if count > 1]
    problems = [f"{names} differ in case alone, which Spark does not distinguish" for names in twins]
    ours = [name for name in names if name.lower() in PLACES and name != SPLIT]
    ours += [name for name in names if name.startswith("_") and name != "_id"]
    problems += [f"{ours} are names that rows get here"] if ours else []
    return [f"{'; '.join(problems)}: give them other names in the file"] if problems else []


def escaped(name: str) -> str:
    """A column name quoted for Spark SQL; it may hold any character."""
    return "`" + name.replace("`", "``") + "`"


def named(name: str) -> Column:
    """A column by its name, which may hold any character: Spark's `col` cannot parse a backtick."""
    return F.expr(escaped(name))


def iso_time(text: Column) -> Column:
    """A text as a timestamp; null if it does not begin with a year: Spark would read `07:30` as a time of today."""
    return F.when(text.rlike(r"^\s*[+-]?\d{4}"), F.try_to_timestamp(text))


def draw(seed: int, purpose: str, *keys: str) -> str:
    """Spark SQL expression for a 64-bit hash of the seed, the purpose and the columns `keys`."""
    quoted = purpose.replace("'", "''")
    return f"xxhash64({seed}L, '{quoted}', {', '.join(escaped(key) for key in keys)})"


def fewest(frame: DataFrame, limit: int | None) -> DataFrame:
    """A deterministic sample of `limit` rows by the hash of `sample_id`; all rows without a limit."""
    if limit is None:
        return frame
    return frame.orderBy(F.expr(draw(0, "limit", "sample_id")), "sample_id").limit(limit)


def share(hash_expression: str) -> str:
    """Spark SQL expression for a hash as a uniform number in [0, 1), with a resolution of 2**-53."""
    return f"(shiftrightunsigned({hash_expression}, 11) / 9007199254740992.0D)"


Pieces = Callable[[Iterator[pd.DataFrame]], Iterator[pd.DataFrame]]
Batches = Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]


def in_pandas(frame: DataFrame, function: Pieces, schema: StructType) -> DataFrame:
    """`mapInPandas` for any column names and without loss of integers (see `arrow_pandas.py`)."""
    fields = to_arrow_schema(schema)

    def converted(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for rows in function(arrow_pandas.to_pandas(batch) for batch in batches):
            yield from arrow_pandas.from_pandas(rows, fields).to_batches()

    return in_arrow(frame, converted, schema)


def in_arrow(frame: DataFrame, function: Batches, schema: StructType | str) -> DataFrame:
    """`mapInArrow` for any column names."""
    names = frame.columns

    def named_again(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return function(_renamed(batch, names) for batch in batches)

    return _plain(frame).mapInArrow(named_again, schema)


def groups_in_pandas(
    frame: DataFrame,
    keys: Sequence[str],
    rows: int,
    function: Callable[[pd.DataFrame], pd.DataFrame],
    schema: StructType,
) -> DataFrame:
    """`groupBy(keys).applyInPandas`, as `in_pandas` is to `mapInPandas`. `rows`: approximate rows of the frame."""
    fields = to_arrow_schema(schema)

    def of_groups(table: pa.Table) -> pa.Table:
        whole = arrow_pandas.to_pandas(table)
        groups = whole.groupby(list(keys), sort=False, dropna=False)
        return pa.concat_tables(arrow_pandas.from_pandas(function(group), fields) for _, group in groups)

    return groups_in_arrow(frame, keys, rows, of_groups, schema)


def groups_in_arrow(
    frame: DataFrame, keys: Sequence[str], rows: int, function: Callable[[pa.Table], pa.Table], schema: StructType
) -> DataFrame:
    """Applies a function to tables that each hold all rows of some values of `keys`, for any column names.

    `rows`: approximate rows of the frame, which determine the number of tables.
    """

    def of_all(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        held = list(batches)
        if held:
            yield from function(pa.Table.from_batches(held)).to_batches()

    groups = max(LEAST_GROUPS, rows // ROWS_A_GROUP)
    return in_arrow(frame.repartition(groups, *map(named, keys)), of_all, schema)


def _plain(frame: DataFrame) -> DataFrame:
    return frame.toDF(*(f"c{at}" for at in range(len(frame.columns))))


def _renamed(batch: pa.RecordBatch, names: Sequence[str]) -> pa.RecordBatch:
    fields = [field.with_name(name) for field, name in zip(batch.schema, names, strict=True)]
    return pa.RecordBatch.from_arrays(batch.columns, schema=pa.schema(fields))
