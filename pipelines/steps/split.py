"""Assigns each row to train, validation or test, before any step learns from the rows.

The draw is a hash of (seed, key), so it does not depend on partitions, and rows that share a key stay together.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime
from typing import ClassVar, Literal, Self

from pydantic import AwareDatetime, BaseModel, Field, field_validator, model_validator
from pyspark.sql import Column as SparkColumn
from pyspark.sql import Window
from pyspark.sql import functions as F

from millstream.pipelines.checks.split_checks import DAY_S
from millstream.pipelines.spark.frames import draw, iso_time, named, share
from millstream.pipelines.table import DerivedColumns, Doubt, Learned, Place, Roles, Table
from millstream.tracking.dataset.records import Served
from millstream.tracking.errors import BadData

Period = tuple[AwareDatetime, AwareDatetime]


class Split(BaseModel, frozen=True, extra="forbid"):
    """`hash`: a random draw for each key. `stratified`: exact shares of each class. `given`: the source's own splits.

    `time`: the earliest rows are train, the latest test; with `periods`, each from its first time to before its second,
    rows in no period are dropped. `gap`: days dropped between splits, or required between the periods.

    | by: hash, test: 0.2 | sample_id | -> | split |
    |                     | a         |    | train |
    |                     | b         |    | test  |
    """

    version: ClassVar[int] = 2
    place: ClassVar[Place] = "any"
    served: ClassVar[Served] = "same"
    train_only: ClassVar[bool] = False

    by: Literal["hash", "stratified", "given", "time"] = Field(
        description="hash: at random by key; stratified: by class; given: the source's own; time: the latest are test"
    )
    valid: float = Field(0.0, ge=0, lt=1, description="share of rows for validation; with `given`, of the train rows")
    test: float = Field(0.0, ge=0, lt=1, description="share of rows for test; not with `given`")
    key: str | None = Field(
        None, description="group column: rows with equal keys get the same split; default: each row alone"
    )
    stratify: str | None = Field(None, description="class column of `stratified`; default: the only target category")
    column: str | None = Field(None, description="column with the splits of `given`; default: the source's own")
    values: dict[str, Literal["train", "valid", "test"]] = Field(
        default_factory=dict,
        description="split for each value of the column; default: the values are train, valid and test",
    )
    time: str | None = Field(None, description="timestamp column of `time`")
    periods: dict[Literal["train", "valid", "test"], Period] | None = Field(
        None, description="[from, until) of each split, as 2018-07-25 or an ISO time; UTC unless a zone is given"
    )
    gap: float = Field(0.0, ge=0, description="days without rows between two splits")

    @field_validator("periods", mode="before")
    @classmethod
    def _in_utc(cls, periods: object) -> object:
        if not isinstance(periods, dict):
            return periods
        return {
            split: [_aware(one) for one in ends] if isinstance(ends, list | tuple) else ends
            for split, ends in periods.items()
        }

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.by == "given" and self.test:
            raise ValueError("test: the source has the test rows; leave it out, or split by hash")
        if self.valid + self.test >= 1:
            raise ValueError(f"valid {self.valid} + test {self.test} leave nothing to train on")
        if self.by in ("stratified", "time") and self.key:
            raise ValueError(f"key: by: {self.by} looks at single rows; use by: hash to keep groups together")
        if (self.by == "time") != (self.time is not None):
            raise ValueError("time: the column that `by: time` goes by; needed there, and nowhere else")
        if (self.column or self.values) and (self.by != "given" or not self.column):
            raise ValueError("column, values: of `by: given`, which column has the split, and its values")
        if self.periods is not None:
            self._check_periods(self.periods)
        return self

    def _check_periods(self, periods: dict[Literal["train", "valid", "test"], Period]) -> None:
        if self.by != "time" or self.valid or self.test or "train" not in periods:
            raise ValueError("periods: of `by: time`, with one for train, and in place of the shares valid and test")
        ordered = [periods[split] for split in ("train", "valid", "test") if split in periods]
        ends = [end for period in ordered for end in period]
        if ends != sorted(ends) or any(start >= until for start, until in ordered):
            raise ValueError("periods: train comes before valid before test, each ends after it begins, none overlap")
        for (_, until), (start, _) in itertools.pairwise(ordered):
            if (start - until).total_seconds() < self.gap * DAY_S:
                raise ValueError(f"periods: less than the gap of {self.gap:g} days between {until} and {start}")

    @property
    def required(self) -> tuple[str, ...]:
        """The splits that must not be empty."""
        shares = {"valid": self.valid, "test": self.test}
        return tuple(self.periods or ("train", *(split for split, share in shares.items() if share)))

    @property
    def chooses(self) -> bool:
        """Whether a row's split depends on that row alone."""
        return self.by == "hash" or self.periods is not None

    def leaks(self, roles: Roles, derived: DerivedColumns) -> list[str]:
        """A key that is also an input: its values in train never occur in other splits, so a network overfits them."""
        if self.by != "hash" or roles.get(self.key or "") != "input":
            return []
        message = f"key: {self.key} is an input, and no value of it in train comes again in valid or test"
        return [f"{message}; declare it with role: key"]

    def fit(self, train: Table, seed: int) -> Learned:
        return {}

    def apply(self, table: Table, learned: Learned, seed: int) -> Table:
        """Raises BadData when the source has no splits, a row's split is unknown, or a class has too few rows."""
        if self.by == "time":
            return self._by_time(table)
        key = self.key or "sample_id"
        # a source may keep an id that is no column: `id` then means the sample_id
        key = "sample_id" if key == "id" and table.column("id") is None else key
        if key not in table.frame.columns:
            raise BadData.at("step split", f"key {key!r}: no such column; it has {table.frame.columns}")
        drawn = share(draw(seed, "split", key))
        if self.by == "stratified":
            return self._stratified(table, drawn)
        if self.by == "given":
            table = self._given(table)
            _check_given(table)
            chosen = f"CASE WHEN split = 'train' AND {drawn} < {self.valid!r} THEN 'valid' ELSE split END"
        else:
            tested, held = self.test, self.test + self.valid
            chosen = f"CASE WHEN {drawn} < {tested!r} THEN 'test' WHEN {drawn} < {held!r} THEN 'valid' ELSE 'train' END"
        return table.replacing(table.frame.withColumn("split", F.expr(chosen)))

    def _given(self, table: Table) -> Table:
        if self.column is None:
            return table
        if self.column not in table.frame.columns:
            raise BadData.at("step split", f"column {self.column!r}: no such column; it has {table.frame.columns}")
        value = named(self.column).cast("string")
        if self.values:
            pairs = [F.lit(one) for pair in self.values.items() for one in pair]
            value = F.coalesce(F.element_at(F.create_map(*pairs), value), value)
        return table.replacing(table.frame.withColumn("split", value))

    def _by_time(self, table: Table) -> Table:
        now = self.now(table)
        split = F.lit(None).cast("string")
        for one, (start, until) in (self._periods_us(self.periods) if self.periods else self._shares_us(table)).items():
            split = F.when((now >= start) & (now < until), one).otherwise(split)
        message = (
            f"{{rows}} rows have no {self.time}; put them aside before, with validate: {{required: [{self.time}]}}"
        )
        placed = table.replacing(table.frame.withColumn("split", split))
        placed = replace(placed, doubts=(*table.doubts, Doubt("step split", now.isNull(), message)))
        return placed.keeping(F.col("split").isNotNull())

    def now(self, table: Table) -> SparkColumn:
        """A row's time in microseconds since 1970; for a numeric column, its values unchanged."""
        name = str(self.time)
        column = table.column(name)
        if column is None:
            raise BadData.at("step split", f"time: no column {name!r}; it has {[one.name for one in table.columns]}")
        if column.dtype.startswith("datetime64"):
            return F.unix_micros(named(name))
        if column.dtype == "string":
            now = F.unix_micros(iso_time(named(name)))
            odd = table.frame.where(now.isNull()).select(named(name)).head()
            if odd is not None:
                raise BadData.at("step split", f"time: {name} {odd[0]!r} is no ISO time; give a column of times")
            return now
        if self.periods or self.gap:
            raise BadData.at("step split", f"time: {name} holds numbers; periods and gap are for times, use shares")
        return named(name)

    def _periods_us(self, periods: dict[Literal["train", "valid", "test"], Period]) -> dict[str, tuple[int, int]]:
        return {split: (_micros(start), _micros(until)) for split, (start, until) in periods.items()}

    def _shares_us(self, table: Table) -> dict[str, tuple[int, int]]:
        """[from, until) of each split in microseconds, at the time quantiles of the requested shares."""
        wanted = {"valid": 1 - self.valid - self.test, "test": 1 - self.test}
        shares = F.array(*(F.lit(share) for share in wanted.values()))
        now = self.now(table)
        row = table.frame.agg(F.percentile(now, shares), F.min(now), F.max(now)).head()
        if row is None or row[1] is None:
            raise BadData.at("step split", f"time: no row has a {self.time}")
        gap = round(self.gap * DAY_S * 1e6)
        valid, test = row[0]
        ranges_us = {"train": (row[1], (valid if self.valid else test if self.test else row[2] + 1 + gap) - gap)}
        if self.valid:
            ranges_us["valid"] = (valid, (test if self.test else row[2] + 1 + gap) - gap)
        return ranges_us | ({"test": (test, row[2] + 1)} if self.test else {})

    def _stratified(self, table: Table, drawn: str) -> Table:
        name = self.stratify or _only_class(table)
        place = F.row_number().over(Window.partitionBy(named(name)).orderBy(F.expr(drawn), "sample_id")) - 1
        count = F.count(F.lit(1)).over(Window.partitionBy(named(name)))
        frame = table.frame.withColumn("_place", place).withColumn("_count", count)
        needed = 1 + (self.valid > 0) + (self.test > 0)
        small = frame.where(F.col("_count") < needed).select(named(name)).distinct().limit(5).collect()
        if small:
            classes = ", ".join(repr(row[0]) for row in small)
            raise BadData.at(
                "step split", f"{name} {classes}: fewer than {needed} rows, one for each split; drop the class"
            )
        # a small class has at least one row in each split; train gets what is left
        left = F.col("_count") - 1
        test = F.least(_share_of(self.test), left - int(self.valid > 0))
        valid = F.least(_share_of(self.valid), left - test)
        split = F.when(F.col("_place") < test, "test").when(F.col("_place") < test + valid, "valid").otherwise("train")
        return table.replacing(frame.withColumn("split", split).drop("_place", "_count"))


def _share_of(share: float) -> SparkColumn:
    """Rows of a class of `_count` rows for a share: at least one if the share is not 0."""
    return F.greatest(F.lit(1), F.round(F.col("_count") * share)) if share else F.lit(0)


def _aware(time: object) -> object:
    """A date or time of a recipe; UTC if it has no zone."""
    if isinstance(time, str):
        time = datetime.fromisoformat(time)
    return time.replace(tzinfo=UTC) if isinstance(time, datetime) and time.tzinfo is None else time


def _micros(time: datetime) -> int:
    return round(time.timestamp() * 1e6)


def _check_given(table: Table) -> None:
    splits = {row[0] for row in table.frame.select("split").distinct().collect()}
    unknown = splits - {"train", "valid", "test"}
    if unknown or "train" not in splits:
        message = f"the splits of the source are {sorted(map(str, splits))}"
        raise BadData.at("step split", f"{message}; by: given needs train, valid or test for each row; use by: hash")


def _only_class(table: Table) -> str:
    classes = [column.name for column in table.classes]
    if len(classes) != 1:
        raise BadData.at("step split", f"stratify: name the class column; target categories are {classes}")
    return classes[0]
