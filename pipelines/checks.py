"""Proves, before a version is published, that its splits do not know each other."""

from __future__ import annotations

from pyspark.sql import functions as F

from pipelines.rows import named
from pipelines.table import Table
from tracking.manifest import Check


def leakage(table: Table) -> tuple[Check, ...]:
    """Checks with their figures: ids unique, no sample or parent in two splits, nothing synthetic outside train,
    and (told, not refused: real data have doubles) equal inputs in two splits."""
    frame = table.frame
    doubled = frame.groupBy("sample_id").count().where("count > 1").count()
    family = F.coalesce("parent_id", "sample_id")
    shared = frame.groupBy(family.alias("family")).agg(F.count_distinct("split").alias("n")).where("n > 1").count()
    synthetic = frame.where("op IS NOT NULL AND split <> 'train'").count()
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
    hashed = F.xxhash64(*(named(column.name) for column in inputs)).alias("content")
    return table.frame.select(hashed, "split").groupBy("content").agg(F.count_distinct("split").alias("n")).where("n > 1").count()
