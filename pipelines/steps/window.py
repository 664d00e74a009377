"""Blocks of contiguous time steps of a series, from which the feed cuts overlapping windows without copies on disk.

Axes: T time steps of a block, C columns of numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pandas as pd
from pydantic import BaseModel, Field, model_validator
from pyspark.sql import DataFrame
from pyspark.sql import Window as Over
from pyspark.sql import functions as F
from pyspark.sql.types import BinaryType, IntegralType

from millstream.pipelines.spark.caching import cached
from millstream.pipelines.spark.frames import iso_time, named
from millstream.pipelines.table import Learned, Place, Table
from millstream.tracking.dataset.records import Column, Served
from millstream.tracking.errors import BadData

MOST_BYTES = 1.2
"""Largest ratio of stored to raw bytes of the train blocks."""
_STRETCH = ("split", "_entity", "_stretch")


class Window(BaseModel, frozen=True, extra="forbid"):
    """Learns {"look_back", "horizon", "stride", "block", "spacing", "columns", "rows", "bytes_of_raw"}.

    A block holds the starts of `block` windows and the look_back + horizon - 1 steps after them that the last window
    needs: a tensor `series` of shape (T, C), whose first `length` steps are real and the rest 0 (padding). In a block,
    windows of look_back + horizon steps start at 0, stride, 2 * stride ... as long as they start before `block` and end
    within `length`; over all blocks each window occurs once. No block crosses a split, an entity or a gap.

    | time | load | -> | sample_id | series           | length |    look_back: 2, horizon: 1, block: 3
    | 0    | 5.0  |    | 0         | 5 6 7 8 9        |      5 |    windows 5 6 7, 6 7 8, 7 8 9
    | ...  |      |    | 3         | 8 9 4 0 0        |      3 |    window 8 9 4
    """

    version: ClassVar[int] = 1
    place: ClassVar[Place] = "after split"
    served: ClassVar[Served] = "brought"
    train_only: ClassVar[bool] = False

    time: str = Field(description="time column: a number, or a text that Spark parses as a timestamp")
    entity: str | None = Field(None, description="entity column, one series for each value; default: a single series")
    columns: tuple[str, ...] | Literal["numbers"] = Field(
        "numbers", description="numeric columns of a time step, or all numeric inputs except the time"
    )
    look_back: int = Field(ge=1, description="input time steps of a window")
    horizon: int = Field(1, ge=0, description="time steps to predict after the inputs")
    stride: int = Field(1, ge=1, description="time steps between the starts of windows")
    block: int | None = Field(
        None,
        ge=1,
        description="window starts in a block; default: the fewest that store at most 1.2 times the raw bytes",
    )
    reach: bool = Field(
        False, description="windows of a later split may take inputs from the split before, as a forecast does"
    )
    spacing: float | Literal["common", "any"] = Field(
        "common",
        description="time between two steps (seconds for timestamps); any other is a gap; "
        "`common`: the most frequent of train; `any`: no gaps",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.block is not None and self.block % self.stride:
            raise ValueError(f"block: {self.block} is no multiple of the stride {self.stride}")
        if isinstance(self.spacing, float) and not self.spacing > 0:
            raise ValueError(f"spacing: {self.spacing} is no time between two steps")
        return self

    @property
    def overlap(self) -> int:
        return self.look_back + self.horizon - 1

    def fit(self, train: Table, seed: int) -> Learned:
        """Raises BadData for missing columns, times that cannot be parsed, and when train has no complete window."""
        names = self._names(train)
        steps = self._timed(train.frame, names)
        spacing = _common(steps) if self.spacing == "common" else self.spacing
        lengths = _lengths(self._stretched(steps, spacing))
        if not any(length > self.overlap for length in lengths):
            message = f"the longest stretch without a gap has {max(lengths, default=0)} steps"
            raise BadData.at("step window", f"{message}, a window {self.overlap + 1}; look at spacing {spacing}")
        block = self.block or fitting_block(lengths, self.overlap, self.stride)
        figures = {"look_back": self.look_back, "horizon": self.horizon, "stride": self.stride, "block": block}
        ratio = round(stored_steps(lengths, block, self.overlap) / sum(lengths.elements()), 4)
        return {**figures, "spacing": spacing, "columns": names, "rows": block + self.overlap, "bytes_of_raw": ratio}

    def apply(self, table: Table, learned: Learned, seed: int) -> Table:
        names, block, rows = learned["columns"], learned["block"], learned["rows"]
        seen = self._timed(self._reaching(table.frame) if self.reach else table.frame, names)
        steps = cached(self._stretched(seen, learned["spacing"]))
        whole = steps.withColumn("_steps", F.count(F.lit(1)).over(Over.partitionBy(*_STRETCH)))
        faults = [
            F.when(F.col("_missing"), "a number or the time is missing"),
            F.when(F.col("_again"), "the time comes twice"),
            F.when(F.col("_steps") <= self.overlap, "in a stretch shorter than a window"),
        ]
        judged = cached(whole.withColumn("_reason", F.coalesce(*faults)))
        table = table.refusing(judged.where("_reason IS NOT NULL"), F.col("_reason"))
        blocks = self._blocks(judged.where("_reason IS NULL"), names, block, rows)
        # with `reach` a block may begin with the same step as a block of the split before
        began = F.concat_ws("@", "time", "split") if self.reach else F.col("time")
        frame = blocks.select(
            F.concat_ws("/", *(["_entity"] if self.entity else []), began).alias("sample_id"),
            *(F.lit(None).cast("string").alias(name) for name in ("parent_id", "op")),
            "split",
            "series",
            "length",
            F.col("time").alias(self.time),
            *([F.col("_entity").alias(self.entity)] if self.entity else []),
        )
        keys = [self.time, *([self.entity] if self.entity else [])]
        columns = (
            Column(
                name="series",
                dtype="float32",
                layout="tensor",
                shape=(rows, len(names)),
                axes="TC",
                role="input",
                meaning="series",
            ),
            Column(name="length", dtype="int32", role="key", meaning="number", unit="time steps"),
            *(Column(name=name, dtype="string", role="key", meaning="text") for name in keys),
        )
        return Table(frame, columns, table.refused)

    def _names(self, table: Table) -> list[str]:
        numbers = [
            c.name for c in table.columns if c.role == "input" and c.meaning == "number" and c.layout == "scalar"
        ]
        chosen = (
            [n for n in numbers if n not in (self.time, self.entity)] if self.columns == "numbers" else self.columns
        )
        there = {column.name: column for column in table.columns}
        wrong = [name for name in (self.time, self.entity, *chosen) if name is not None and name not in there]
        wrong += [name for name in chosen if name in there and there[name].dtype == "string"]
        if wrong or not chosen:
            raise BadData.at("step window", f"{wrong or 'columns'}: no such numbers, time or entity; it has {[*there]}")
        return list(chosen)

    def _reaching(self, frame: DataFrame) -> DataFrame:
        """The rows, with the last `look_back` steps before each later split repeated as steps of that split."""
        entity = named(self.entity) if self.entity else F.lit("")
        time = named(self.time)
        is_text = frame.schema[self.time].dataType.typeName() == "string"
        order = Over.partitionBy(entity).orderBy(iso_time(time) if is_text else time)
        later = F.lead("split", self.look_back).over(order)
        before = frame.withColumn("_later", later).where("_later <> split")
        return frame.unionByName(before.withColumn("split", F.col("_later")).drop("_later"))

    def _timed(self, frame: DataFrame, names: list[str]) -> DataFrame:
        """The rows with their time as a number, their entity, and whether they miss a value or repeat a time."""
        time = named(self.time)
        is_text = frame.schema[self.time].dataType.typeName() == "string"
        seconds = iso_time(time) if is_text else time
        if not isinstance(frame.schema[self.time].dataType, IntegralType):  # integers stay exact, however large
            seconds = seconds.cast("double")
        frame = frame.withColumn("_text", time.cast("string")).withColumn("_time", seconds)
        frame = frame.withColumn("_entity", named(self.entity).cast("string") if self.entity else F.lit(""))
        absent = F.col("_time").isNull() | F.col("_entity").isNull()
        for name in names:
            value = named(name).cast("double")
            absent = absent | value.isNull() | F.isnan(value)
        place = F.row_number().over(Over.partitionBy("split", "_entity", "_missing", "_time").orderBy("sample_id"))
        return frame.withColumn("_missing", absent).withColumn("_again", ~F.col("_missing") & (place > 1))

    def _stretched(self, steps: DataFrame, spacing: float | str) -> DataFrame:
        """The rows with the number of their gap-free stretch (-1: refused) and their position in it."""
        order = Over.partitionBy("split", "_entity", "_out").orderBy("_time")
        frame = steps.withColumn("_out", F.col("_missing") | F.col("_again"))
        gap = (F.col("_time") - F.lag("_time").over(order)).cast("double")
        # times are rounded in their texts: a thousandth of a step is no gap
        is_gap = F.lit(False) if spacing == "any" else F.abs(gap - spacing) > abs(float(spacing)) * 1e-3
        frame = frame.withColumn("_new", F.coalesce(is_gap, F.lit(False)).cast("int"))
        frame = frame.withColumn("_stretch", F.when(F.col("_out"), -1).otherwise(F.sum("_new").over(order)))
        return frame.withColumn("_place", F.row_number().over(Over.partitionBy(*_STRETCH).orderBy("_time")) - 1)

    def _blocks(self, steps: DataFrame, names: list[str], block: int, rows: int) -> DataFrame:
        """A row for each block: split, _entity, the first step's time, length and series."""
        channels = len(names)

        @F.pandas_udf(BinaryType())  # type: ignore[call-overload,untyped-decorator,unused-ignore]
        def padded(series: Iterator[pd.Series]) -> Iterator[pd.Series]:
            for piece in series:
                yield piece.map(lambda values: _padded(values, rows * channels))

        # a step is in the blocks that start at most `rows - 1` steps before it, if these hold a window
        last = F.expr(f"CAST(LEAST(_place, _steps - {self.overlap} - 1) DIV {block} AS INT)")
        first = F.expr(f"CAST(GREATEST(0, _place - {rows} + {block}) DIV {block} AS INT)")
        placed = steps.withColumn("_block", F.explode(F.sequence(first, last)))
        values = F.array(*(named(name).cast("float") for name in names)).alias("values")
        step = F.struct(F.col("_place"), F.col("_text").alias("time"), values)
        listed = placed.groupBy(*_STRETCH, "_block").agg(F.sort_array(F.collect_list(step)).alias("steps"))
        flat = listed.select(
            "split",
            "_entity",
            F.col("steps")[0]["time"].alias("time"),
            F.size("steps").cast("int").alias("length"),
            F.flatten(F.transform("steps", lambda one: one["values"])).alias("values"),
        )
        return flat.withColumn("series", padded("values"))


def stored_steps(lengths: Counter[int], block: int, overlap: int) -> int:
    """Stored time steps, with padding, of the blocks of stretches of these lengths."""
    blocks = {length: _up(max(0, length - overlap), block) // block for length in lengths}
    return sum(count * blocks[length] * (block + overlap) for length, count in lengths.items())


def fitting_block(lengths: Counter[int], overlap: int, stride: int) -> int:
    """The smallest block that stores at most 1.2 times the raw bytes; if none does, the one that stores the fewest."""
    longest = max(lengths) - overlap
    raw = sum(length * count for length, count in lengths.items())
    # the longest stretch in 1, 2, 3 ... equal blocks; a block under 5 overlaps exceeds 1.2 by its overlap alone
    most = max(1, longest // max(1, 5 * overlap))
    sizes = sorted({_up(_up(longest, parts) // parts, stride) for parts in range(1, most + 1)})
    costs = {size: stored_steps(lengths, size, overlap) / raw for size in sizes}
    good = [size for size in sizes if costs[size] <= MOST_BYTES]
    return good[0] if good else min(sizes, key=lambda size: (costs[size], size))


def _up(number: int, step: int) -> int:
    """The next multiple of `step`."""
    return (number + step - 1) // step * step


def _common(steps: DataFrame) -> float:
    """The most frequent time between two steps; of ties the shortest."""
    good = steps.where("NOT _missing AND NOT _again")
    order = Over.partitionBy("split", "_entity").orderBy("_time")
    gap = (F.col("_time") - F.lag("_time").over(order)).cast("double")
    gaps = good.select(gap.alias("gap")).where("gap IS NOT NULL")
    most_common = gaps.groupBy(F.round("gap", 9).alias("gap")).count().orderBy(F.desc("count"), "gap").head()
    if most_common is None:
        raise BadData.at("step window", "no two time steps in train; look at the time column and the missing numbers")
    return float(most_common[0])


def _lengths(steps: DataFrame) -> Counter[int]:
    """The number of stretches of train by their length in steps."""
    counts = steps.where("NOT _out").groupBy(*_STRETCH).count().groupBy("count").agg(F.count("*").alias("stretches"))
    return Counter({row[0]: row[1] for row in counts.collect()})


def _padded(values: Any, size: int) -> bytes:
    padded = np.zeros(size, "<f4")
    padded[: len(values)] = values
    return padded.tobytes()
