"""The values of an expression, one a row, and which of them are known: Spark's null beside numpy's arrays."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

INTS = {"tinyint": np.int8, "smallint": np.int16, "int": np.int32, "bigint": np.int64}
FLOATS = {"float": np.float32, "double": np.float64}
_DTYPES: dict[str, Any] = {**INTS, **FLOATS, "boolean": np.bool_, "date": np.int32, "timestamp": np.int64}
_DECIMAL = re.compile(r"decimal\((\d+),(\d+)\)")


class Cells(NamedTuple):
    values: NDArray[Any]
    """Of the type's dtype. A decimal is a whole number, without its point."""
    known: NDArray[np.bool_]
    """Where not, the value is `filler` of the type."""


def dtype_of(kind: str) -> Any:
    """The dtype that holds a type of Spark; None for one that is not known here."""
    if kind in ("string", "void") or _DECIMAL.fullmatch(kind):
        return object
    return _DTYPES.get(kind)


def filler(kind: str) -> Any:
    """What stands where nothing is known."""
    return "" if kind == "string" else 0


def is_decimal(kind: str) -> bool:
    return _DECIMAL.fullmatch(kind) is not None


def scale_of(kind: str) -> int:
    """The digits behind the point."""
    found = _DECIMAL.fullmatch(kind)
    return int(found[2]) if found else 0


def most_of(kind: str) -> int:
    """The least whole number that a decimal, without its point, has no place for."""
    found = _DECIMAL.fullmatch(kind)
    return 10 ** int(found[1]) if found else 0


def quotient(number: int, by: int) -> int:
    """Rounded to the nearest, halves away from 0."""
    whole, rest = divmod(abs(number), abs(by))
    rounded = whole + (2 * rest >= abs(by))
    return rounded if (number < 0) == (by < 0) else -rounded


def rescaled(number: int, scale: int, to: int) -> int:
    return number * 10 ** (to - scale) if to >= scale else quotient(number, 10 ** (scale - to))


def objects(values: Any, count: int) -> NDArray[Any]:
    """Python objects, one a row."""
    cells = np.empty(count, object)
    cells[:] = list(values)
    return cells


def within(values: NDArray[Any], known: NDArray[np.bool_], kind: str) -> Cells:
    """Decimals; null where there are too many digits."""
    most = most_of(kind)
    fits = np.fromiter((-most < value < most for value in values), bool, len(values))
    return Cells(values, known & fits)
