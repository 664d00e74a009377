"""Value counts, from which exact statistics are computed that do not depend on row order."""

from __future__ import annotations

from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from millstream.pipelines.spark.frames import escaped, named
from millstream.tracking.dataset.records import Column


def present(column: Column) -> F.Column:
    """Whether a row has a value: neither null nor, in a column of floats, NaN."""
    value = named(column.name)
    return value.isNotNull() & ~F.isnan(value) if column.dtype.startswith("float") else value.isNotNull()


def value_counts(frame: DataFrame, column: Column) -> dict[Any, int]:
    """The row count of each value, without missing ones."""
    rows = frame.where(present(column)).groupBy(named(column.name).alias("value")).count().collect()
    return {row[0]: row[1] for row in rows}


def percentiles(frame: DataFrame, column: Column, shares: list[float]) -> list[float]:
    """The exact percentiles with linear interpolation, as in numpy; empty when there is no value."""
    at = ", ".join(f"{share!r}D" for share in shares)
    aggregated = frame.where(present(column)).agg(
        F.expr(f"percentile(CAST({escaped(column.name)} AS DOUBLE), array({at}))")
    )
    return list(aggregated.collect()[0][0] or [])
