"""Parquet files of others as frames, with what Spark cannot read told before it tries."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as spark_types

from tracking.faults import BadData

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
"""What Spark reads columns as, where it is plain. Of all others it has to be asked, by a job of a file's own."""


def read(spark: SparkSession, *paths: Path) -> DataFrame:
    """Files of one schema. Raises BadData for one that is no Parquet, or has times in nanoseconds, as pandas writes."""
    known = types_of(_schema(paths[0]))
    try:
        reader = spark.read if known is None else spark.read.schema(known)
        return reader.parquet(*(f"file:{path}" for path in paths))
    except AnalysisException as error:
        raise BadData.at(paths[0], f"cannot be read as Parquet ({error})") from error


def alike(paths: Iterable[Path]) -> list[list[Path]]:
    """Files by their schemas: those of one may be read at once. Raises BadData as `read`."""
    found: dict[pa.Schema, list[Path]] = {}
    for path in paths:
        found.setdefault(_schema(path).remove_metadata(), []).append(path)
    return list(found.values())


def _schema(path: Path) -> pa.Schema:
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise BadData.at(path, f"cannot be read as Parquet ({error})") from error
    exact = [field.name for field in schema if pa.types.is_timestamp(field.type) and field.type.unit == "ns"]
    if exact:
        would = "save them with frame.to_parquet(..., coerce_timestamps='us', allow_truncated_timestamps=True)"
        raise BadData.at(path, f"columns {exact} hold times in nanoseconds, which Spark cannot read; {would}")
    return schema


def types_of(schema: pa.Schema) -> spark_types.StructType | None:
    """The types that Spark would find; None when one of them is not plain."""
    fields = [spark_types.StructField(field.name, _KINDS[field.type]) for field in schema if field.type in _KINDS]
    return spark_types.StructType(fields) if len(fields) == len(schema) else None
