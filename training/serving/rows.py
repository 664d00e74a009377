"""Rows of JSON, checked against a model's raw columns before any library converts them.

A converter would read `"false"` as True, 1.5 as 1 and a null flag as False. Here a value has the type of its column or
its row is refused.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import difflib
import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel

from millstream.tracking.dataset.records import Column

MOST_SHOWN = 20
"""Values that a refusal lists; it counts all."""
_SHOWN = 60
EXACT = 2**53
"""Up to here a float is every integer."""
Cast = Callable[[Any], Any]
"""A JSON value as the model reads it; raises ValueError or TypeError for another one."""


class WrongValue(BaseModel, frozen=True):
    row: int
    """From 0."""
    column: str
    value: str
    """As JSON writes it, cut off."""
    expected: str


class WrongRows(Exception):
    """Rows that the model does not take."""

    def __init__(self, wrong: Sequence[WrongValue]) -> None:
        super().__init__(f"{len(wrong)} values do not fit the model")
        self.wrong = tuple(wrong[:MOST_SHOWN])
        self.count = len(wrong)


def frame_of(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[Column], optional: Collection[str] = ()
) -> pd.DataFrame:
    """The raw columns of the rows, in their order. Values of `optional` columns may be null, or be left out.

    Raises WrongRows that names every value of another type, null or missing value, and name that is no column.
    """
    names = [column.name for column in columns]
    wrong = [
        WrongValue(row=at, column=name, value=shown(value), expected=_known(name, names))
        for at, row in enumerate(rows)
        for name, value in row.items()
        if name not in names
    ]
    read = {column.name: _values(rows, column, column.name in optional, wrong) for column in columns}
    if wrong:
        raise WrongRows(sorted(wrong, key=lambda one: one.row))
    return pd.DataFrame({column.name: _series(read[column.name], column) for column in columns})


def expected(column: Column) -> str:
    """What a value of the column is, for a reader of a refusal or a schema."""
    if column.layout == "tensor":
        count = math.prod(column.shape)
        return f"{count} numbers ({column.dtype}), nested as {list(column.shape)} or flat, or their bytes in base64"
    if column.layout == "list":
        return "a list of token numbers"
    if column.dtype == "string":
        return "a text"
    if column.dtype == "bool":
        return "true or false"
    if column.dtype.startswith("datetime64"):
        return "a time as 2024-05-31T12:30:00"
    if np.dtype(column.dtype).kind in "iu":
        least, most = _range(column.dtype)
        return f"a whole number from {least} to {most}"
    return "a finite number"


def shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _known(name: str, names: Sequence[str]) -> str:
    nearest = difflib.get_close_matches(name, names, 1)
    return f"a column of the model, such as {nearest[0]!r}" if nearest else f"one of the columns {list(names)}"


def _values(rows: Sequence[Mapping[str, Any]], column: Column, is_optional: bool, wrong: list[WrongValue]) -> list[Any]:
    cast = _cast_of(column)
    values: list[Any] = []
    for at, row in enumerate(rows):
        value = row.get(column.name)
        if value is None and is_optional:
            values.append(None)
            continue
        try:
            values.append(cast(value))
        except (ValueError, TypeError, OverflowError):
            found = shown(value) if column.name in row else "missing"
            or_null = ", or null" if is_optional else ""
            wrong.append(WrongValue(row=at, column=column.name, value=found, expected=expected(column) + or_null))
    return values


def _series(values: list[Any], column: Column) -> Any:
    if column.layout == "scalar" and column.dtype not in ("string", "bool"):
        if column.dtype.startswith("datetime64"):
            return pd.Series(pd.to_datetime(values)).astype("datetime64[us]")
        if np.dtype(column.dtype).kind in "iu":
            return pd.Series(values, dtype="Int64" if None in values else "int64")
        return pd.Series(values, dtype="float64")
    return pd.Series(values, dtype=object)


def _cast_of(column: Column) -> Cast:
    if column.layout == "tensor":
        return lambda value: _tensor(value, column)
    if column.layout == "list":
        most = len(column.vocabulary or ()) - 1
        return lambda value: [_whole(one, (0, most if most >= 0 else EXACT)) for one in _checked(value, list)]
    if column.dtype == "string":
        return lambda value: _checked(value, str)
    if column.dtype == "bool":
        return lambda value: _checked(value, bool)
    if column.dtype.startswith("datetime64"):
        return _time
    if np.dtype(column.dtype).kind in "iu":
        limits = _range(column.dtype)
        return lambda value: _whole(value, limits)
    return _number


def _checked(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise TypeError
    return value


def _range(dtype: str) -> tuple[int, int]:
    # pandas holds them as int64
    limits = np.iinfo(np.dtype(dtype))
    return int(limits.min), min(int(limits.max), 2**63 - 1)


def _whole(value: Any, limits: tuple[int, int]) -> int:
    if isinstance(value, float) and value.is_integer() and abs(value) <= EXACT:
        value = int(value)  # a client may write 3 as 3.0
    if isinstance(value, bool) or not isinstance(value, int) or not limits[0] <= value <= limits[1]:
        raise ValueError
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(number := float(value)):
        raise ValueError
    if isinstance(value, int) and int(number) != value:
        raise ValueError
    return number


def _time(value: Any) -> datetime.datetime:
    """In UTC, without a zone."""
    time = datetime.datetime.fromisoformat(_checked(value, str))
    return time if time.tzinfo is None else time.astimezone(datetime.UTC).replace(tzinfo=None)


def _tensor(value: Any, column: Column) -> bytes:
    """The little-endian bytes of nested or flat numbers, or of base64."""
    dtype, count = np.dtype(column.dtype).newbyteorder("<"), math.prod(column.shape)
    if isinstance(value, str):
        try:
            content = base64.b64decode(value, validate=True)
        except binascii.Error:
            raise ValueError from None
        found = np.frombuffer(content, dtype) if len(content) == count * dtype.itemsize else None
    else:
        found = _numbers(_checked(value, list), column, dtype)
    if found is None or (dtype.kind == "f" and not np.isfinite(found).all()):
        raise ValueError
    return found.tobytes()


def _numbers(value: list[Any], column: Column, dtype: np.dtype[Any]) -> Any:
    given = np.array(value)  # raises ValueError for ragged lists; numbers beyond 64 bits become objects
    if given.shape not in (tuple(column.shape), (math.prod(column.shape),)) or given.dtype.kind not in "iuf":
        raise ValueError
    if _has_truth(value):
        raise ValueError
    with np.errstate(all="ignore"):
        found = given.astype(dtype)
    if dtype.kind in "iu" and not np.array_equal(found, given):
        raise ValueError
    return found


def _has_truth(value: Any) -> bool:
    """Whether nested lists hold true or false, which numpy would mix with numbers."""
    return any(map(_has_truth, value)) if isinstance(value, list) else isinstance(value, bool)
