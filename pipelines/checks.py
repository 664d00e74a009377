"""Proves, before a version is published, that its splits do not know each other."""

from __future__ import annotations

from pyspark.sql import Column as SparkColumn
from pyspark.sql import functions as F

from pipelines.rows import named
from pipelines.table import Table
from tracking.manifest import Check, Column


def leakage(table: Table) -> tuple[Check, ...]:
    """Checks with their figures: ids unique, no sample or parent in two splits, nothing synthetic outside train,
    and (told, not refused: real data have doubles) equal inputs in two splits."""
    frame = table.frame
    odd = F.sum(F.expr("CAST(op IS NOT NULL AND split <> 'train' AS INT)")).alias("odd")
    ids = frame.groupBy("sample_id").agg(F.count("*").alias("n"), odd)
    doubled, synthetic = ids.agg(F.count_if(F.col("n") > 1), F.sum("odd")).collect()[0]
    family = F.coalesce("parent_id", "sample_id")
    shared = frame.groupBy(family.alias("family")).agg(F.count_distinct("split").alias("n")).where("n > 1").count()
    return (
        Check(name="sample ids are unique", ok=doubled == 0, figures={"doubled": doubled}),
        Check(name="no sample in two splits", ok=shared == 0, figures={"shared": shared}),
        Check(name="nothing synthetic outside train", ok=synthetic == 0, figures={"synthetic": synthetic}),
        Check(name="equal inputs in two splits", ok=True, figures={"contents": _equal_inputs(table)}),
    )


def _equal_inputs(table: Table) -> int:
    """How many different contents of all input columns stand in more than one split."""
    inputs = [column for column in table.columns if column.role == "input"]
    if not inputs:
        return 0
    hashed = F.xxhash64(*(part for column in inputs for part in _parts(column))).alias("content")
    count: int = (
        table.frame.select(hashed, "split")
        .groupBy("content")
        .agg(F.count_distinct("split").alias("n"))
        .where("n > 1")
        .count()
    )
    return count


def _parts(column: Column) -> list[SparkColumn]:
    """What is hashed of a value: also whether it is there and where a list ends, which xxhash64 passes over."""
    value = named(column.name)
    return [value.isNull(), *([F.size(value)] if column.layout == "list" else []), value]
