"""Validates table rows: normalizes strings and records why an invalid row is quarantined."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from millstream.pipelines.readers.casts import MALFORMED
from millstream.pipelines.readers.table_schema import CORRUPT, Layout, TableColumn
from millstream.pipelines.spark.categories import normal
from millstream.pipelines.spark.frames import named
from millstream.tracking.serving.text_normalization import normal_form

FIRST_YEAR, LAST_YEAR = 1, 9999
"""Years that Python and most Parquet readers support."""


def stripped(frame: DataFrame, layout: Layout) -> DataFrame:
    for name, declared in layout.columns.items():
        if declared.type == "string":
            frame = frame.withColumn(name, trimmed(named(name), declared, layout.nulls))
    return frame


def judged(frame: DataFrame, layout: Layout, key: str | None) -> DataFrame:
    """Adds `_reason`, null for a valid row."""
    reasons = [unreadable("_line"), F.col(CORRUPT)]
    for name, declared in layout.columns.items():
        reason = unfit(named(name), declared, nullable=declared.nullable and name != key)
        reasons.append(F.concat(F.lit(f"{name} "), reason))
    return frame.withColumn("_reason", F.coalesce(*reasons)).drop(CORRUPT)


def trimmed(text: SparkColumn, declared: TableColumn, nulls: Sequence[str]) -> SparkColumn:
    """A stripped string, in its normal form unless it is a key; null if it equals a null marker."""
    value = F.btrim(text, F.lit(declared.strip)) if declared.strip else F.trim(text)
    value = value if declared.role == "key" else normal(value)
    return F.when(value.isin(*nulls), None).otherwise(value)


def unreadable(line: str) -> SparkColumn:
    """Why a line is damaged; null if it is not."""
    reason = F.when(F.col(line).contains("\x00"), "holds a NUL byte")
    return reason.when(F.col(line).contains(MALFORMED), "is not UTF-8")


def unfit(value: SparkColumn, declared: TableColumn, *, nullable: bool) -> SparkColumn:
    """Why a value is refused; null for a valid one."""
    reasons = []
    if declared.type == "double":
        reasons.append(F.when(F.isnan(value) | (F.abs(value) == float("inf")), "is not finite"))
    if declared.classes is not None:
        is_declared = value.isin(*map(normal_form, declared.classes))
        reasons.append(F.when(~is_declared, "is none of the declared classes"))
    if declared.type == "timestamp":
        beyond = (F.year(value) < FIRST_YEAR) | (F.year(value) > LAST_YEAR)
        reasons.append(F.when(beyond, f"is not in the years {FIRST_YEAR} to {LAST_YEAR}"))
    if not nullable:
        reasons.append(F.when(value.isNull(), "is missing"))
    return F.coalesce(*reasons, F.lit(None).cast("string"))
