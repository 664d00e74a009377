"""Target encoding of categories by out-of-fold means, so that no train row's own target leaks into its input."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql import Column as SparkColumn
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DoubleType, FloatType, LongType, StructField, StructType

from millstream.pipelines.spark.categories import values_of
from millstream.pipelines.spark.frames import groups_in_arrow, named
from millstream.pipelines.table import Learned, Table
from millstream.tracking.dataset.records import Column
from millstream.tracking.errors import BadData
from millstream.tracking.serving import columns

Sums = dict[str, tuple[int, list[float]]]
"""Row count of each category, and floats whose exact sum is the sum of its targets."""

_SUMMED = (StructField("rows", LongType()), StructField("parts", ArrayType(DoubleType())))


@dataclass(frozen=True)
class Means:
    """Configuration: the fields of the same names of the step `encode`."""

    target: str
    positive: str | None
    smoothing: float
    folds: int


def fit(train: Table, column: Column, means: Means, seed: int) -> Learned:
    """Learns {"prior", "means"} of all train rows, and in "folds" for each fold those of the other folds.

    Raises BadData for a target that is missing, or neither a number nor a class with `positive`.
    """
    seen = train.frame.select(
        named(column.name).alias("category"), _value(train, means).alias("value"), _fold(means.folds, seed)
    ).where("value IS NOT NULL")
    counts = seen.groupBy("_fold", "category", "value").count()
    schema = StructType([counts.schema["_fold"], counts.schema["category"], *_SUMMED])
    folds: list[Sums] = [{} for _ in range(means.folds)]
    for fold, category, rows, parts in groups_in_arrow(counts, ["category"], train.rows, summed, schema).collect():
        name = columns.as_text(category)
        rows_there, parts_there = folds[fold].get(name, (0, []))
        folds[fold][name] = (rows_there + rows, [*parts_there, *parts])
    if sum(1 for fold in folds if fold) < 2:
        raise BadData.at(
            "step encode", f"{column.name}: too few train rows with a {means.target} for {means.folds} folds"
        )
    others = [_figures([other for other in folds if other is not fold], means.smoothing) for fold in folds]
    return {"method": "target", "from": column.dtype, **_figures(folds, means.smoothing), "folds": others}


def apply(table: Table, column: Column, learned: Learned, seed: int) -> Table:
    """The column as float32: train rows from the other folds' means, all others from the means used in serving."""
    folds = learned["folds"]
    whole = {"means": learned["means"], "prior": learned["prior"]}

    @F.pandas_udf(FloatType())  # type: ignore[call-overload,untyped-decorator,unused-ignore]
    def encoded(pieces: Iterator[tuple[pd.Series, pd.Series]]) -> Iterator[pd.Series]:
        for values, fold in pieces:
            made = pd.Series(0.0, index=values.index, dtype="float32")
            for at in fold.unique():
                figures = whole if at < 0 else folds[at]
                here = fold == at
                made[here] = columns.target_means(values[here], **figures)
            yield made

    frame = table.frame.withColumn("_fold", F.when(F.col("split") == "train", _fold(len(folds), seed)).otherwise(-1))
    frame = frame.withColumn(column.name, encoded(values_of(column), F.col("_fold"))).drop("_fold")
    update = {"dtype": "float32", "meaning": "number", "classes": None}
    return table.replacing(frame, column.model_copy(update=update))


def _value(train: Table, means: Means) -> SparkColumn:
    target = train.column(means.target)
    if target is None or target.layout != "scalar":
        known = [column.name for column in train.columns]
        raise BadData.at("step encode", f"target {means.target!r}: no plain column; it has {known}")
    value = named(target.name)
    if means.positive is None:
        if target.dtype == "string" or target.classes is not None:
            raise BadData.at("step encode", f"target {target.name!r} is a class; name the `positive` one")
        return value.cast("double")
    if target.classes is None:
        return (value.cast("string") == means.positive).cast("double")
    if means.positive not in target.classes:
        raise BadData.at("step encode", f"positive {means.positive!r}: classes are {list(target.classes)}")
    return (value == target.classes.index(means.positive)).cast("double")


def _fold(folds: int, seed: int) -> SparkColumn:
    """The fold, drawn by the parent of a made row: a copy in another fold would leak the target of its parent."""
    origin = F.coalesce("parent_id", "sample_id")
    drawn = F.xxhash64(F.lit(seed).cast("long"), F.lit("encode fold"), origin)
    return F.pmod(drawn, F.lit(folds)).cast("int").alias("_fold")


def summed(counts: pa.Table) -> pa.Table:
    """Rows and exact parts of the target's sum for each fold and category, from counts of the target's values."""
    numbers = counts["category"].combine_chunks().dictionary_encode("encode").indices.to_numpy().astype(np.int64)
    fold = counts["_fold"].to_numpy().astype(np.int64)
    groups = numbers * (fold.max() + 1) + fold
    order = np.argsort(groups, kind="stable")
    firsts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    count = counts["count"].to_numpy()[order]
    pieces = np.split(counts["value"].to_numpy()[order] * count, firsts[1:])
    named_groups = counts.select(["_fold", "category"]).take(order[firsts])
    rows = pa.array(np.add.reduceat(count, firsts))
    parts = pa.array([exact_parts(piece.tolist()) for piece in pieces], pa.list_(pa.float64()))
    return named_groups.append_column("rows", rows).append_column("parts", parts)


def exact_parts(values: list[float]) -> list[float]:
    """A few floats whose exact sum is that of `values`: the rounded sum, its rounding error, and so on."""
    parts: list[float] = []
    while rest := math.fsum([*values, *(-part for part in parts)]):
        parts.append(rest)
        if not math.isfinite(rest):
            break
    return parts


def _figures(folds: list[Sums], smoothing: float) -> dict[str, Any]:
    """Means (sum of the category + smoothing * prior) / (rows of the category + smoothing), sums rounded once."""
    parts: dict[str, list[float]] = defaultdict(list)
    rows: dict[str, int] = defaultdict(int)
    for fold in folds:
        for category, (count, some) in fold.items():
            parts[category] += some
            rows[category] += count
    prior = math.fsum(part for some in parts.values() for part in some) / sum(rows.values())
    means = {name: (math.fsum(parts[name]) + smoothing * prior) / (rows[name] + smoothing) for name in sorted(parts)}
    return {"prior": prior, "means": means}
