"""What happened to a row's entity in the days before it: counts and means over windows of time.

Source: the windows are those of Le Borgne et al. 2022, Fraud Detection Handbook, chapter 3, "Baseline feature
transformation": (t - delay - days, t - delay], and the row itself among them when there is no delay.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, Field, field_validator
from pyspark.sql import functions as F
from pyspark.sql.types import DoubleType, LongType, StructField, StructType

from pipelines.rows import escaped, groups_in_pandas, named
from pipelines.table import Learned, Table
from tracking.faults import BadData
from tracking.manifest import Column

DAY_US = 86_400_000_000
ROWS_A_GROUP = 100_000
LEAST_GROUPS = 8
_BUCKET = "_bucket"


class Rolling(BaseModel, frozen=True, extra="forbid"):
    """For each window of `days` one column with the count of rows, and one with the mean of `value`.

    | card | time  | paid | days: [1]  ->  | count | mean |
    | a    | 1 Jan |  2.0 |                |     1 |  2.0 |
    | a    | 1 Jan |  4.0 |                |     2 |  3.0 |
    | a    | 9 Jan |  6.0 |                |     1 |  6.0 |

    Of several rows at one time, a row sees those before it in the order of sample ids (shorter ids first).
    """

    version: ClassVar[int] = 1
    train_only: ClassVar[bool] = False

    entity: str = Field(description="column that says whose rows belong together")
    time: str = Field(description="a timestamp column")
    value: str = Field(description="column whose mean is taken")
    days: tuple[float, ...] = Field(min_length=1, description="lengths of the windows")
    delay: float = Field(0.0, ge=0, description="days that have to pass before a row counts; needed for a target")
    count: str = Field(description="name of the columns with counts, with {days} in it")
    mean: str = Field(description="name of the columns with means, with {days} in it; 0 where nothing is counted")

    @field_validator("count", "mean")
    @classmethod
    def _names_differ(cls, name: str) -> str:
        if "{days}" not in name:
            raise ValueError(f"{name!r}: has no {{days}} in it, so that all windows would have one name")
        return name

    @field_validator("days")
    @classmethod
    def _positive(cls, days: tuple[float, ...]) -> tuple[float, ...]:
        if min(days) <= 0 or len(set(days)) < len(days):
            raise ValueError(f"{days}: expected different numbers of days above 0")
        return days

    def fit(self, train: Table, seed: int) -> Learned:
        return {}

    def apply(self, table: Table, learned: Learned, seed: int) -> Table:
        """Raises BadData for a column that is missing or null, and for a target without delay: it would tell itself."""
        self._check(table)
        frame = table.frame
        groups = max(LEAST_GROUPS, -(-frame.count() // ROWS_A_GROUP))
        added = [field for days in self.days for field in self._fields(days)]
        schema = StructType([*frame.schema.fields, *added])
        step = self

        def rolled(rows: pd.DataFrame) -> pd.DataFrame:
            return step.rolled(rows.drop(columns=_BUCKET))

        bucket = F.pmod(F.xxhash64(named(self.entity)), F.lit(groups))
        made = groups_in_pandas(frame.withColumn(_BUCKET, bucket), (_BUCKET,), rolled, schema)
        columns = [
            Column(
                name=field.name,
                dtype="int64" if field.dataType == LongType() else "float64",
                role="input",
                meaning="number",
            )
            for field in added
        ]
        return table.replacing(made, *columns)

    def rolled(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows of whole entities with the new columns."""
        order = [self.entity, self.time, "_length", "sample_id"]
        rows = rows.assign(_length=rows["sample_id"].str.len()).sort_values(order, ignore_index=True, kind="stable")
        time_us = rows[self.time].to_numpy("datetime64[us]").astype(np.int64)
        _, entity = np.unique(rows[self.entity].to_numpy(), return_inverse=True)
        value = rows[self.value].to_numpy(np.float64)
        own = np.arange(1, len(rows) + 1)
        for days in self.days:
            first = _rows_until(entity, time_us, time_us - round((self.delay + days) * DAY_US))
            last = own if self.delay == 0 else _rows_until(entity, time_us, time_us - round(self.delay * DAY_US))
            count, total = last - first, sums(value, first, last)
            rows[self._named(self.count, days)] = count
            rows[self._named(self.mean, days)] = np.divide(total, count, out=np.zeros(len(rows)), where=count > 0)
        return rows.drop(columns="_length")

    def _fields(self, days: float) -> tuple[StructField, StructField]:
        return (
            StructField(self._named(self.count, days), LongType()),
            StructField(self._named(self.mean, days), DoubleType()),
        )

    def _named(self, name: str, days: float) -> str:
        return name.replace("{days}", f"{days:g}")

    def _check(self, table: Table) -> None:
        wanted = (self.entity, self.time, self.value)
        missing = [name for name in wanted if table.column(name) is None]
        if missing:
            raise BadData.at("step rolling", f"{missing}: no such columns; it has {[c.name for c in table.columns]}")
        value, time = table.column(self.value), table.column(self.time)
        if time is not None and not time.dtype.startswith("datetime64"):
            raise BadData.at("step rolling", f"time: {self.time} is {time.dtype}; declare it as type: timestamp")
        if value is not None and (value.dtype == "string" or value.layout != "scalar"):
            raise BadData.at("step rolling", f"value: {self.value} is no number")
        if value is not None and value.role == "target" and self.delay == 0:
            told = (
                f"{self.value} is the target, and a row's own would be counted; give the delay after which it is known"
            )
            raise BadData.at("step rolling", told)
        empty = table.frame.where(" OR ".join(f"{escaped(name)} IS NULL" for name in wanted)).count()
        if empty:
            raise BadData.at("step rolling", f"{empty} rows miss one of {list(wanted)}; validate with required first")


def sums(values: NDArray[np.float64], first: NDArray[Any], last: NDArray[Any]) -> NDArray[np.float64]:
    """The sum of values[first:last] for each pair, each added up by itself, so that no order of rows shows in it."""
    bounds = np.stack([first, np.maximum(first, last)], axis=1).ravel()
    total = np.add.reduceat(np.append(values, 0.0), bounds)[::2]
    return np.where(last > first, total, 0.0)


def _rows_until(entity: NDArray[Any], time_us: NDArray[np.int64], until_us: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each row how many rows stand before the first one of its entity that is later than `until_us`."""
    times, rank = np.unique(time_us, return_inverse=True)
    width = len(times) + 1
    asked = np.searchsorted(times, until_us, side="right")
    found: NDArray[np.int64] = np.searchsorted(entity * width + rank, entity * width + asked, side="left")
    return found
