"""Parquet files of others as frames, with what Spark cannot read told before it tries."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession

from tracking.faults import BadData


def read(spark: SparkSession, path: Path) -> DataFrame:
    """Raises BadData for a file that is no Parquet, or has times in nanoseconds, as pandas writes them."""
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise BadData.at(path, f"cannot be read as Parquet ({error})") from error
    exact = [field.name for field in schema if pa.types.is_timestamp(field.type) and field.type.unit == "ns"]
    if exact:
        would = "save them with frame.to_parquet(..., coerce_timestamps='us', allow_truncated_timestamps=True)"
        raise BadData.at(path, f"columns {exact} hold times in nanoseconds, which Spark cannot read; {would}")
    try:
        return spark.read.parquet(f"file:{path}")
    except AnalysisException as error:
        raise BadData.at(path, f"cannot be read as Parquet ({error})") from error
