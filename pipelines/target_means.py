"""A category told by the mean of a target among its rows, without letting a train row see its own target."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd
from pyspark.sql import Column as SparkColumn
from pyspark.sql import functions as F
from pyspark.sql.types import FloatType

from pipelines.rows import draw, named
from pipelines.table import Learned, Table
from tracking import preprocess
from tracking.faults import BadData
from tracking.manifest import Column

Counts = dict[tuple[str, float], int]
"""The rows of each category and value of the target."""


@dataclass(frozen=True)
class Means:
    """What is asked for: the fields of the same names of the step `encode`."""

    target: str
    positive: str | None
    smoothing: float
    folds: int


def fit(train: Table, column: Column, means: Means, seed: int) -> Learned:
    """{"prior", "means"} of all train rows, and in "folds" for each fold those of all others.

    Raises BadData for a target that is missing, or neither a number nor a class with `positive`.
    """
    rows = (
        train.frame.select(
            named(column.name).alias("category"), _value(train, means).alias("value"), _fold(means.folds, seed)
        )
        .where("value IS NOT NULL")
        .groupBy("_fold", "category", "value")
        .count()
        .collect()
    )
    folds: list[Counts] = [defaultdict(int) for _ in range(means.folds)]
    for fold, category, value, count in rows:
        folds[fold][preprocess.as_text(category), value] += count
    if sum(1 for fold in folds if fold) < 2:
        raise BadData.at(
            "step encode", f"{column.name}: too few train rows with a {means.target} for {means.folds} folds"
        )
    others = [_figures([other for other in folds if other is not fold], means.smoothing) for fold in folds]
    return {"method": "target", "from": column.dtype, **_figures(folds, means.smoothing), "folds": others}


def apply(table: Table, column: Column, learned: Learned, seed: int) -> Table:
    """The column as float32: for train rows without their own fold, for all others as serving reads them."""
    folds = learned["folds"]
    whole = {"means": learned["means"], "prior": learned["prior"]}

    @F.pandas_udf(FloatType())  # type: ignore[call-overload,untyped-decorator,unused-ignore]
    def encoded(pieces: Iterator[tuple[pd.Series, pd.Series]]) -> Iterator[pd.Series]:
        for values, fold in pieces:
            made = pd.Series(0.0, index=values.index, dtype="float32")
            for at in fold.unique():
                figures = whole if at < 0 else folds[at]
                here = fold == at
                made[here] = preprocess.target_means(values[here], **figures)
            yield made

    frame = table.frame.withColumn("_fold", F.when(F.col("split") == "train", _fold(len(folds), seed)).otherwise(-1))
    frame = frame.withColumn(column.name, encoded(named(column.name), F.col("_fold"))).drop("_fold")
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
    return F.expr(f"CAST(pmod({draw(seed, 'encode fold', 'sample_id')}, {folds}) AS INT)").alias("_fold")


def _figures(folds: list[Counts], smoothing: float) -> dict[str, Any]:
    """(sum of the category + smoothing * mean of all) / (rows of the category + smoothing), sums rounded once."""
    total = sum(count for fold in folds for count in fold.values())
    prior = math.fsum(value * count for fold in folds for (_, value), count in fold.items()) / total
    parts: dict[str, list[float]] = defaultdict(list)
    rows: dict[str, int] = defaultdict(int)
    for fold in folds:
        for (category, value), count in fold.items():
            parts[category].append(value * count)
            rows[category] += count
    means = {name: (math.fsum(parts[name]) + smoothing * prior) / (rows[name] + smoothing) for name in sorted(parts)}
    return {"prior": prior, "means": means}
