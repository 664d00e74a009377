"""Looks at each row of a table: its texts without blanks around them, and why it does not fit, if it does not."""

from __future__ import annotations

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.rows import escaped, named
from pipelines.table_columns import CORRUPT, Layout

FIRST_YEAR, LAST_YEAR = 1, 9999
"""What Python and most readers of Parquet know."""


def stripped(frame: DataFrame, layout: Layout) -> DataFrame:
    for name, declared in layout.columns.items():
        if declared.type == "string":
            value = F.trim(named(name))
            if declared.strip:
                value = F.expr(f"trim(BOTH '{declared.strip.replace(chr(39), chr(39) * 2)}' FROM {escaped(name)})")
            frame = frame.withColumn(name, F.when(value == layout.null, None).otherwise(value))
    return frame


def judged(frame: DataFrame, layout: Layout, key: str | None) -> DataFrame:
    """Adds `_reason`, null for a good row."""
    reasons: list[SparkColumn] = [
        F.when(F.col("_line").contains("\x00"), "holds a NUL byte"),
        F.when(F.col("_line").contains("\ufffd"), "is not UTF-8"),
        F.col(CORRUPT),
    ]
    for name, declared in layout.columns.items():
        value = named(name)
        if declared.type == "double":
            endless = F.isnan(value) | (F.abs(value) == float("inf"))
            reasons.append(F.when(endless, f"{name} is not finite"))
        if declared.classes is not None:
            reasons.append(F.when(~value.isin(*declared.classes), f"{name} is none of the declared classes"))
        if declared.type == "timestamp":
            beyond = (F.year(value) < FIRST_YEAR) | (F.year(value) > LAST_YEAR)
            reasons.append(F.when(beyond, f"{name} is not in the years {FIRST_YEAR} to {LAST_YEAR}"))
        if not declared.nullable or name == key:
            reasons.append(F.when(value.isNull(), f"{name} is missing"))
    return frame.withColumn("_reason", F.coalesce(*reasons)).drop(CORRUPT)
