"""Reads foreign Parquet files: types from the physical schema, and faults reported before Spark fails on them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from py4j.protocol import Py4JJavaError
from pyspark.errors import AnalysisException
from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as spark_types

from millstream.pipelines.spark import cluster
from millstream.pipelines.spark.frames import escaped, named
from millstream.tracking.errors import BadData, Fault

_KINDS = {
    pa.bool_(): spark_types.BooleanType(),
    pa.int8(): spark_types.ByteType(),
    pa.int16(): spark_types.ShortType(),
    pa.int32(): spark_types.IntegerType(),
    pa.int64(): spark_types.LongType(),
    pa.float32(): spark_types.FloatType(),
    pa.float64(): spark_types.DoubleType(),
    pa.string(): spark_types.StringType(),
    pa.date32(): spark_types.DateType(),
    **{pa.timestamp(unit): spark_types.TimestampNTZType() for unit in ("ms", "us")},
    **{pa.timestamp(unit, "UTC"): spark_types.TimestampType() for unit in ("ms", "us")},
}
"""Spark types of unambiguous columns. All others need a Spark job per file to infer the schema."""
INT96 = "INT96"
"""Timestamps as Spark (by default) and Impala write them; arrow reports nanoseconds for them, too."""


def read(spark: SparkSession, *paths: Path, root: Path | None = None) -> DataFrame:
    """A frame of files with one schema; with `root`, folder names below it (`day=1`) are partition columns.

    Timestamps have microseconds: files with finer ones are refused. Raises BadData for a file that is no Parquet, or
    has columns that Spark cannot read.
    """
    schema = _schema(paths[0])
    known = types_of(schema)
    try:
        reader = spark.read if known is None else spark.read.schema(known)
        reader = reader if root is None else reader.option("basePath", f"file:{root}")
        frame = reader.parquet(*(f"file:{path}" for path in paths))
    except (AnalysisException, Py4JJavaError) as error:
        raise BadData.at(paths[0], f"cannot be read as Parquet ({cluster.cause(error)})") from error
    zoned = {field.name: field.type.tz is not None for field in schema if _is_ns(field.type)}
    return _in_microseconds(frame, paths[0], zoned)


def alike(paths: Iterable[Path]) -> list[list[Path]]:
    """Files grouped by schema, to be read together. Raises BadData as `read`."""
    by_schema: dict[pa.Schema, list[Path]] = {}
    for path in paths:
        by_schema.setdefault(_schema(path), []).append(path)
    return list(by_schema.values())


def damaged(paths: Iterable[Path]) -> list[Fault]:
    """Faults of unreadable columns in files with an intact footer; reads each column once."""
    return [
        Fault(where=str(path), message=f"column {name!r} is damaged ({problem}); get the file again")
        for path in paths
        for name, problem in _damaged(path)
    ]


def _damaged(path: Path) -> Iterator[tuple[str, str]]:
    file = pq.ParquetFile(path)
    for name in file.schema_arrow.names:
        try:
            for at in range(file.num_row_groups):
                file.read_row_group(at, columns=[name])
        except (pa.ArrowException, OSError) as error:
            yield name, str(error).splitlines()[0]


def _schema(path: Path) -> pa.Schema:
    """The schema without the writer's metadata; INT96 timestamps are UTC instants, whatever arrow reports."""
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise BadData.at(path, f"cannot be read as Parquet ({error})") from error
    fields, odd = [], {}
    physical = physical_types(file)
    for field in file.schema_arrow:
        if physical[field.name] == {INT96}:
            field = field.with_type(pa.timestamp("us", "UTC")) if _is_ns(field.type) else field
        elif not _is_ns(field.type) and _is_odd(field.type):
            odd[field.name] = str(field.type)
        fields.append(field)
    if odd:
        would = "save them as texts, numbers or times in microseconds, or leave them out"
        raise BadData.at(path, f"columns {odd} are of types that Spark cannot read; {would}")
    return pa.schema(fields)


def physical_types(file: pq.ParquetFile) -> dict[str, set[str]]:
    """The types in which the values of each column are stored."""
    physical = iter([file.schema.column(at).physical_type for at in range(len(file.schema))])
    return {field.name: {next(physical) for _ in range(_leaves(field.type))} for field in file.schema_arrow}


def _inner(kind: pa.DataType) -> list[pa.DataType]:
    return [kind.field(at).type for at in range(kind.num_fields)]


def _leaves(kind: pa.DataType) -> int:
    """Number of physical columns of a logical column."""
    return sum(map(_leaves, _inner(kind))) or 1


def _is_ns(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind)) and kind.unit == "ns"


def _is_odd(kind: pa.DataType) -> bool:
    """Whether a type is, or contains, a time of day or a nanosecond timestamp."""
    return bool(pa.types.is_time(kind)) or _is_ns(kind) or any(map(_is_odd, _inner(kind)))


def _in_microseconds(frame: DataFrame, where: Path, zoned: dict[str, bool]) -> DataFrame:
    """Converts nanosecond columns, which Spark reads as integers, to timestamps; `zoned`: which are UTC instants.

    Raises BadData when a value is finer than a microsecond.
    """
    if not zoned:
        return frame
    finer = frame.agg(*(F.count_if(F.expr(f"{escaped(name)} % 1000 <> 0")) for name in zoned)).collect()[0]
    if any(finer):
        counts = {name: count for name, count in zip(zoned, finer, strict=True) if count}
        would = "save them with frame.to_parquet(..., coerce_timestamps='us', allow_truncated_timestamps=True)"
        raise BadData.at(
            where, f"columns {list(counts)} hold times in nanoseconds, {counts} of them no whole microseconds; {would}"
        )
    return frame.select(*(_time(name, zoned[name]) if name in zoned else named(name) for name in frame.columns))


def _time(name: str, is_zoned: bool) -> SparkColumn:
    time = F.expr(f"timestamp_micros({escaped(name)} div 1000)")
    return (time if is_zoned else time.cast("timestamp_ntz")).alias(name)


def types_of(schema: pa.Schema) -> spark_types.StructType | None:
    """The types that Spark would infer; None when one of them is not in `_KINDS`."""
    fields = [spark_types.StructField(field.name, _KINDS[field.type]) for field in schema if field.type in _KINDS]
    return spark_types.StructType(fields) if len(fields) == len(schema) else None
