"""Functions of dates (days since 1970) and times (microseconds since 1970, UTC), as in Spark."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Days = NDArray[np.int32]
Micros = NDArray[np.int64]
SECOND_US = 1_000_000


def _whole(values: NDArray[Any]) -> NDArray[np.int32]:
    return values.astype(np.int32)


def _date(days: Days) -> NDArray[np.datetime64]:
    return days.astype("datetime64[D]")


def year(days: Days) -> NDArray[np.int32]:
    return _whole(_date(days).astype("datetime64[Y]").astype(np.int64) + 1970)


def month(days: Days) -> NDArray[np.int32]:
    return _whole(_date(days).astype("datetime64[M]").astype(np.int64) % 12 + 1)


def quarter(days: Days) -> NDArray[np.int32]:
    return _whole((month(days) - 1) // 3 + 1)


def day_of_month(days: Days) -> NDArray[np.int32]:
    date = _date(days)
    return _whole((date - date.astype("datetime64[M]")).astype(np.int64) + 1)


def day_of_year(days: Days) -> NDArray[np.int32]:
    date = _date(days)
    return _whole((date - date.astype("datetime64[Y]")).astype(np.int64) + 1)


def weekday(days: Days) -> NDArray[np.int32]:
    """Monday is 0; 1970 began on a Thursday."""
    return _whole((days.astype(np.int64) + 3) % 7)


def day_of_week(days: Days) -> NDArray[np.int32]:
    """Sunday is 1."""
    return _whole((days.astype(np.int64) + 4) % 7 + 1)


def _part(unit_s: int, parts: int) -> Callable[[Micros], NDArray[np.int32]]:
    return lambda times: _whole(times // (unit_s * SECOND_US) % parts)


OF_DATES: dict[str, Callable[..., Any]] = {
    "Year": year,
    "Month": month,
    "Quarter": quarter,
    "DayOfMonth": day_of_month,
    "DayOfYear": day_of_year,
    "WeekDay": weekday,
    "DayOfWeek": day_of_week,
    "DateDiff": lambda end, start: end - start,
    "DateAdd": lambda days, count: days + count,
    "DateSub": lambda days, count: days - count,
}
OF_TIMES: dict[str, Callable[..., Any]] = {
    "Hour": _part(3600, 24),
    "Minute": _part(60, 60),
    "Second": _part(1, 60),
    "UnixTimestamp": lambda times: (times - np.fmod(times, SECOND_US)) // SECOND_US,
    "UnixMicros": lambda times: times.copy(),
    "UnixMillis": lambda times: times // 1000,
    "UnixSeconds": lambda times: times // SECOND_US,
}
