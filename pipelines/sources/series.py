"""Time series from CSV or Parquet, with a time column and a row for each step.

source:
  name: series
  files: [{name: ett/ETTh1.csv}]
  time: date
  frequency: 1h
  columns:
    HUFL: {role: input}
    OT: {role: target, unit: degrees C}
  window: 432
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import reduce
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, Field, model_validator
from pyspark.sql import DataFrame, SparkSession, Window, WindowSpec
from pyspark.sql import functions as F

from millstream.pipelines import table as flow
from millstream.pipelines.readers.file_spec import SplitFile
from millstream.pipelines.readers.table_schema import TableColumn
from millstream.pipelines.sources.table import Table
from millstream.pipelines.spark.caching import cached
from millstream.pipelines.spark.frames import iso_time, named, with_places
from millstream.pipelines.table import OriginFile
from millstream.tracking.dataset.records import Column
from millstream.tracking.errors import BadData

_UNITS_US = {
    "ms": 1_000,
    "s": 1_000_000,
    "min": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
    "w": 604_800_000_000,
}
_FREQUENCY = rf"(\d+)({'|'.join(_UNITS_US)})"
OBSERVED = "observed"


class Value(BaseModel, frozen=True, extra="forbid"):
    role: Literal["input", "target"] = Field("input", description="what a network does with the column")
    unit: str = Field("", description="unit of the values")


class Series(BaseModel, frozen=True, extra="forbid"):
    """Rows `<entity>/<ISO time>`, one `frequency` apart, sorted by time whatever their order in the files.

    Times without a zone are UTC; the column `time` (a key) has them as text that sorts by time, the column `entity` (a
    key; `main` without entities) has the series of a row. Repeated times and rows with missing values are quarantined;
    the steps missing then are gaps.

    | date             | OT | -> | sample_id                | time                | entity | OT |
    | 2016-07-01 00:00 | 30 |    | main/2016-07-01T00:00:00 | 2016-07-01T00:00:00 | main   | 30 |
    """

    files: tuple[SplitFile, ...] = Field(min_length=1, description="files of the series")
    format: Literal["csv", "parquet"] = Field("csv", description="format of the files")
    delimiter: str = Field(",", min_length=1, max_length=1, description="CSV delimiter")
    time: str = Field(description="time column")
    time_format: str | None = Field(None, description="Spark datetime pattern of the times; default: ISO 8601")
    entity: str | None = Field(None, description="entity column, one series for each value")
    columns: dict[str, Value] = Field(min_length=1, description="value columns")
    frequency: str = Field(
        pattern=f"^{_FREQUENCY}$", description=f"length of a step: a number and {', '.join(_UNITS_US)}"
    )
    gaps: Literal["refuse", "fill-forward", "mark"] = Field(
        "refuse",
        description="fill-forward: repeat the row before; mark: also add a column `observed`, 0 in filled rows",
    )
    longest_gap: int = Field(1000, ge=1, description="largest gap in steps that is filled; a longer one is refused")
    window: int = Field(2, ge=2, description="smallest number of steps; a shorter series is quarantined")
    licence: str = Field("not stated", description="licence of the data, kept in the manifest")
    origin: str = Field("not stated", description="where the data come from, kept in the manifest")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if int(self.frequency.rstrip("mshdwin")) < 1:
            raise ValueError(f"frequency: {self.frequency} is no step")
        for name in (self.time, self.entity, "time", "entity", OBSERVED):
            if name in self.columns:
                raise ValueError(f"columns: {name!r} is taken; the time and the entity are no values")
        return self

    @property
    def step_us(self) -> int:
        """One step in microseconds."""
        count, unit = re.fullmatch(_FREQUENCY, self.frequency).groups()  # type: ignore[union-attr]
        return int(count) * _UNITS_US[unit]

    def origin_files(self) -> tuple[OriginFile, ...]:
        return tuple(file.origin for file in self.files)

    def read(self, spark: SparkSession, files: Mapping[str, Path], seed: int) -> flow.Table:
        """Raises BadData for steps of another length, for a gap that may not be filled, and when no row is left."""
        table = self._table().read(spark, files, seed)
        raw = cached(self._timed(table.frame))
        refused = [] if table.refused is None else [table.refused]
        refused.append(self._refused(raw.where("_reason IS NOT NULL")))
        rows = raw.where("_reason IS NULL")
        self._check_steps(rows)
        short = f"its series is shorter than {self.window} steps"
        filled = cached(self._filled(rows).withColumn("_steps", F.count("*").over(Window.partitionBy("_entity"))))
        long = F.col("_steps") >= self.window
        refused.append(self._refused(filled.where(~long & (F.col(OBSERVED) == 1)).withColumn("_reason", F.lit(short))))
        kept = filled.where(long)
        if kept.isEmpty():
            longest = filled.agg(F.max("_steps")).collect()[0][0]
            raise BadData.at(self._file_names(), f"no series has {self.window} steps, the longest {longest or 0}")
        columns = self._columns()
        frame = with_places(kept.select("sample_id", "split", *(named(column.name) for column in columns)))
        return flow.Table(frame, columns, reduce(DataFrame.unionByName, refused))

    def _table(self) -> Table:
        """The files as a table source, which also quarantines the rows that do not fit the schema."""
        columns = {self.time: TableColumn(type="string")}
        columns |= {self.entity: TableColumn(type="string")} if self.entity else {}
        columns |= {name: TableColumn(type="double") for name in self.columns}
        key = self.time if self.format == "parquet" else None
        return Table(files=self.files, columns=columns, format=self.format, delimiter=self.delimiter, key=key)

    def _timed(self, frame: DataFrame) -> DataFrame:
        """Adds _us (since 1970), _entity, _line, its _length, and _reason: null for the first row of each time."""
        text = named(self.time)
        time = F.try_to_timestamp(text, F.lit(self.time_format)) if self.time_format else iso_time(text)
        timed = (
            frame.withColumn("_us", F.unix_micros(time))
            .withColumn("_entity", named(self.entity) if self.entity else F.lit("main"))
            .withColumn("_line", F.col("sample_id"))
            .withColumn("_length", F.length("_line"))
        )
        # lines are file:number: sorting by length first puts line 9 before 10
        order = ["_length", "_line", *(named(name) for name in self.columns)]
        again = F.row_number().over(Window.partitionBy("_entity", "_us").orderBy(*order)) > 1
        reason = F.coalesce(
            F.when(F.col("_us").isNull(), "its time cannot be read"), F.when(again, "its time comes twice")
        )
        return timed.withColumn("_reason", reason)

    def _refused(self, rows: DataFrame) -> DataFrame:
        values = F.to_json(F.struct(named(self.time), *(named(name) for name in self.columns)))
        name = F.col("_line")
        return rows.select(name.alias("sample_id"), F.col("_reason").alias("reason"), values.alias("content"))

    def _check_steps(self, rows: DataFrame) -> None:
        """Raises BadData with the first row whose distance to the row before is no multiple of a step, or too large."""
        steps = rows.withColumn("_before", F.lag("_us").over(_in_order())).withColumn("_apart", F.expr("_us - _before"))
        most = self.step_us * (1 if self.gaps == "refuse" else self.longest_gap + 1)
        odd = steps.where(f"_apart % {self.step_us} <> 0 OR _apart > {most}")
        first = odd.orderBy("_entity", "_us").select("_entity", named(self.time), "_apart", "_us").head()
        if first is None:
            return
        usual = steps.where("_apart IS NOT NULL").groupBy("_apart").count().orderBy(F.desc("count"), "_apart").first()
        apart = f"{_length(first[2])} after the row before"
        where = f"{self._file_names()}, {first[0]}, {first[1]}"
        if first[2] % self.step_us:
            message = f"{apart}; frequency is {self.frequency}, most rows are {_length(usual[0])} apart"
            raise BadData.at(where, message)
        would = "set gaps: to fill-forward or mark" if self.gaps == "refuse" else "is the time right? see longest_gap"
        raise BadData.at(where, f"a gap: {apart} ({odd.count()} such gaps in all); {would}")

    def _filled(self, rows: DataFrame) -> DataFrame:
        """A row for each step; missing rows repeat the row before, with `observed` 0."""
        after = F.coalesce(F.lead("_us").over(_in_order()), F.col("_us") + self.step_us)
        times = F.sequence(F.col("_us"), after - self.step_us, F.lit(self.step_us))
        spread = rows.withColumn("_times", times).withColumn("_first", F.col("_us"))
        spread = spread.withColumn("_us", F.explode("_times"))
        pattern = "yyyy-MM-dd'T'HH:mm:ss" + (".SSSSSS" if self.step_us % 1_000_000 else "")
        values = [named(name) for name in self.columns]
        return (
            spread.withColumn(OBSERVED, (F.col("_us") == F.col("_first")).cast("short"))
            .withColumn("time", F.date_format(F.timestamp_micros("_us"), pattern))
            .withColumn("entity", F.col("_entity"))
            .withColumn("sample_id", F.concat_ws("/", "entity", "time"))
            .withColumn(self.time, F.col("time"))
            .select(
                "sample_id", "split", "_line", "_entity", *{"time": 0, "entity": 0, self.time: 0}, *values, OBSERVED
            )
        )

    def _columns(self) -> tuple[Column, ...]:
        columns = [
            Column(name="time", dtype="string", role="key", meaning="text"),
            Column(name="entity", dtype="string", role="key", meaning="text"),
        ]
        for name, value in self.columns.items():
            columns.append(Column(name=name, dtype="float64", role=value.role, meaning="number", unit=value.unit))
        if self.gaps == "mark":
            columns.append(Column(name=OBSERVED, dtype="uint8", role="mask", meaning="number"))
        return tuple(columns)

    def _file_names(self) -> str:
        return ", ".join(file.name for file in self.files)


def _in_order() -> WindowSpec:
    return Window.partitionBy("_entity").orderBy("_us")


def _length(apart_us: int) -> str:
    """A duration in the largest unit of which it is a multiple."""
    for unit in reversed(_UNITS_US):
        if apart_us % _UNITS_US[unit] == 0:
            return f"{apart_us // _UNITS_US[unit]}{unit}"
    return f"{apart_us} microseconds"
