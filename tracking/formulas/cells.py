"""Column vectors with null masks: numpy values with Spark's nulls."""

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
    """In the type's dtype. A decimal is its unscaled integer."""
    known: NDArray[np.bool_]
    """Where False (null), the value is `filler` of the type."""


def dtype_of(kind: str) -> Any:
    """The dtype for a Spark type; None for an unsupported one."""
    if kind in ("string", "void") or _DECIMAL.fullmatch(kind):
        return object
    return _DTYPES.get(kind)


def filler(kind: str) -> Any:
    """Placeholder value of nulls."""
    return "" if kind == "string" else 0


def is_decimal(kind: str) -> bool:
    return _DECIMAL.fullmatch(kind) is not None


def scale_of(kind: str) -> int:
    """Number of decimal places."""
    decimal = _DECIMAL.fullmatch(kind)
    return int(decimal[2]) if decimal else 0


def most_of(kind: str) -> int:
    """10**precision: exclusive bound of a decimal's unscaled integer."""
    decimal = _DECIMAL.fullmatch(kind)
    return 10 ** int(decimal[1]) if decimal else 0


def quotient(number: int, by: int) -> int:
    """Division rounded half away from 0."""
    whole, rest = divmod(abs(number), abs(by))
    rounded = whole + (2 * rest >= abs(by))
    return rounded if (number < 0) == (by < 0) else -rounded


def rescaled(number: int, scale: int, to: int) -> int:
    return number * 10 ** (to - scale) if to >= scale else quotient(number, 10 ** (scale - to))


def objects(values: Any, count: int) -> NDArray[Any]:
    """An object array, one element per row."""
    cells = np.empty(count, object)
    cells[:] = list(values)
    return cells


def within(values: NDArray[Any], known: NDArray[np.bool_], kind: str) -> Cells:
    """Decimals; null on overflow of the precision."""
    most = most_of(kind)
    fits = np.fromiter((-most < value < most for value in values), bool, len(values))
    return Cells(values, known & fits)
