"""Rolling features of an entity: counts and means over time windows before each row.

Source: the windows of Le Borgne et al. 2022, Fraud Detection Handbook, chapter 3, "Baseline feature transformation":
(t - delay - days, t - delay], which includes the row itself when there is no delay.
"""

from __future__ import annotations

import functools
import operator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import BaseModel, Field, field_validator
from pyspark.sql.types import DoubleType, LongType, StructField, StructType

from millstream.pipelines.spark.frames import groups_in_arrow, named
from millstream.pipelines.table import Derived, DerivedColumns, Doubt, Learned, Place, Reach, Reached, Roles, Table
from millstream.tracking.dataset.records import Column, Served
from millstream.tracking.errors import BadData

DAY_US = 86_400_000_000


class Rolling(BaseModel, frozen=True, extra="forbid"):
    """Adds for each window of `days` a column with the count of rows, and a column with the mean of `value`.

    | card | time  | paid | days: [1]  ->  | count | mean |
    | a    | 1 Jan |  2.0 |                |     1 |  2.0 |
    | a    | 1 Jan |  4.0 |                |     2 |  3.0 |
    | a    | 9 Jan |  6.0 |                |     1 |  6.0 |

    Of rows with equal times, a row counts those before it in the order of sample ids (shorter ids first).
    """

    version: ClassVar[int] = 1
    place: ClassVar[Place] = "any"
    served: ClassVar[Served] = "brought"
    train_only: ClassVar[bool] = False
    lazy: ClassVar[bool] = True
    looks_around: ClassVar[bool] = True

    entity: str = Field(description="entity column: windows are over rows with equal values")
    time: str = Field(description="a timestamp column")
    value: str = Field(description="column to average")
    days: tuple[float, ...] = Field(min_length=1, description="window lengths in days")
    delay: float = Field(0.0, ge=0, description="days after which a row is counted; needed for a target")
    count: str = Field(description="name of the count columns, with {days} in it")
    mean: str = Field(description="name of the mean columns, with {days} in it; 0 in an empty window")

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

    def leaks(self, roles: Roles, derived: DerivedColumns) -> list[str]:
        """Leakage: a target, or a column computed from it, without delay, so that a row's own value is averaged."""
        before = derived.get(self.value)
        derived_now = before is not None and not before.is_delayed
        if self.delay > 0 or not (roles.get(self.value) == "target" or derived_now):
            return []
        known = f"computed from the target by the step {before.step} before" if before else "the target"
        message = f"value: {self.value} is {known}, and a row's own would be counted"
        return [f"{message}; give the delay after which it is known"]

    def derives(self, roles: Roles, derived: DerivedColumns) -> DerivedColumns:
        """The means of earlier values of a target, or of a column computed from it."""
        if roles.get(self.value) != "target" and self.value not in derived:
            return {}
        return {self._named(self.mean, days): Derived("rolling", is_delayed=True) for days in self.days}

    def reaches(self, before: Reached) -> dict[str, Reach]:
        """The means of a value that was computed from later rows or whole groups."""
        of_value = before.get(self.value.lower())
        made = replace(of_value, role="input") if of_value else None
        return {self._named(self.mean, days): made for days in self.days} if made else {}

    def fit(self, train: Table, seed: int) -> Learned:
        return {}

    def apply(self, table: Table, learned: Learned, seed: int) -> Table:
        """Raises BadData for a column that is missing or null, or of another type."""
        self._check(table)
        frame = table.frame
        added = [field for days in self.days for field in self._fields(days)]
        table.check_new("step rolling", *(field.name for field in added))
        schema = StructType([*frame.schema.fields, *added])
        made = groups_in_arrow(frame, [self.entity], table.rows, self.rolled, schema)
        columns = [
            Column(
                name=field.name,
                dtype="int64" if field.dataType == LongType() else "float64",
                role="input",
                meaning="number",
            )
            for field in added
        ]
        missing = functools.reduce(operator.or_, (named(name).isNull() for name in self._wanted))
        message = f"{{rows}} rows miss one of {list(self._wanted)}; validate with required first"
        doubt = Doubt("step rolling", missing, message)
        return replace(table.replacing(made, *columns), doubts=(*table.doubts, doubt))

    def rolled(self, rows: pa.Table) -> pa.Table:
        """The rows of whole entities with the new columns, in their original order."""
        order, place = _ordered(rows, self.entity, self.time)
        value = (
            rows[self.value].cast(pa.float64(), safe=False).to_numpy()[order]
        )  # integers may be rounded: so is a mean
        own = np.arange(1, len(rows) + 1)
        back = np.argsort(order)
        for days in self.days:
            first = place.rows_until((self.delay + days) * DAY_US)
            last = own if self.delay == 0 else place.rows_until(self.delay * DAY_US)
            count, total = last - first, sums(value, first, last)
            mean = np.divide(total, count, out=np.zeros(len(rows)), where=count > 0)
            rows = rows.append_column(self._named(self.count, days), pa.array(count[back]))
            rows = rows.append_column(self._named(self.mean, days), pa.array(mean[back]))
        return rows

    @property
    def _wanted(self) -> tuple[str, str, str]:
        return self.entity, self.time, self.value

    def _fields(self, days: float) -> tuple[StructField, StructField]:
        return (
            StructField(self._named(self.count, days), LongType()),
            StructField(self._named(self.mean, days), DoubleType()),
        )

    def _named(self, name: str, days: float) -> str:
        return name.replace("{days}", f"{days:g}")

    def _check(self, table: Table) -> None:
        missing = [name for name in self._wanted if table.column(name) is None]
        if missing:
            raise BadData.at("step rolling", f"{missing}: no such columns; it has {[c.name for c in table.columns]}")
        value, time = table.column(self.value), table.column(self.time)
        if time is not None and not time.dtype.startswith("datetime64"):
            raise BadData.at("step rolling", f"time: {self.time} is {time.dtype}; declare it as type: timestamp")
        if value is not None and (value.dtype == "string" or value.layout != "scalar"):
            raise BadData.at("step rolling", f"value: {self.value} is no number")


def sums(values: NDArray[np.float64], first: NDArray[Any], last: NDArray[Any]) -> NDArray[np.float64]:
    """The sum of values[first:last] for each pair, each summed separately, so that it depends on no other rows."""
    bounds = np.stack([first, np.maximum(first, last)], axis=1).ravel()
    total = np.add.reduceat(np.append(values, 0.0), bounds)[::2]
    return np.where(last > first, total, 0.0)


@dataclass(frozen=True)
class _Places:
    """Positions of rows sorted by entity and time; times are ranked among all rows."""

    times_us: NDArray[np.int64]
    rank: NDArray[np.int64]
    starts: NDArray[np.int64]
    """The offset of each row's entity; those of two entities differ by more than the largest rank."""

    def rows_until(self, back_us: float) -> NDArray[np.int64]:
        """For each row the position of the first row of its entity later than the row's time minus `back_us`."""
        later = np.searchsorted(self.times_us, self.times_us - round(back_us), side="right")
        return np.searchsorted(self.starts + self.rank, self.starts + later[self.rank], side="left")


def _ordered(rows: pa.Table, entity: str, time: str) -> tuple[NDArray[np.int64], _Places]:
    """The order of rows by entity, time and id, and their positions."""
    since = pc.fill_null(rows[time].cast(pa.timestamp("us")).cast(pa.int64()), 0).to_numpy()
    times_us, rank = np.unique(since, return_inverse=True)
    encoded = rows[entity].combine_chunks().dictionary_encode("encode")
    starts = encoded.indices.to_numpy().astype(np.int64) * (len(times_us) + 1)
    at = starts + rank
    order = np.argsort(at, kind="stable")
    _sort_ties(order, at[order], rows["sample_id"])
    return order, _Places(times_us, rank[order], starts[order])


def _sort_ties(order: NDArray[np.int64], at: NDArray[np.int64], sample_id: pa.ChunkedArray) -> None:
    """Sort rows with equal entity and time by their ids in place, shorter ids first."""
    for first, last in _runs(np.flatnonzero(at[1:] == at[:-1])):
        some = order[first : last + 2]
        ids = sample_id.take(some).to_pylist()
        order[first : last + 2] = [row for _, row in sorted(zip(ids, some, strict=True), key=_by_id)]


def _by_id(named_row: tuple[str, int]) -> tuple[int, str]:
    return len(named_row[0]), named_row[0]


def _runs(numbers: NDArray[np.int64]) -> list[tuple[int, int]]:
    """The first and last of each run of consecutive numbers."""
    if not len(numbers):
        return []
    ends = np.flatnonzero(np.diff(numbers) > 1)
    firsts, lasts = np.append(numbers[0], numbers[ends + 1]), np.append(numbers[ends], numbers[-1])
    return list(zip(firsts.tolist(), lasts.tolist(), strict=True))
