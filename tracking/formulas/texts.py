"""String functions as in Spark: characters are code points, positions count from 1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millstream.tracking.formulas.cells import objects


def _each(function: Callable[..., Any], dtype: Any = object) -> Callable[..., NDArray[Any]]:
    def of_rows(*parts: NDArray[Any]) -> NDArray[Any]:
        results = [function(*row) for row in zip(*(part.tolist() for part in parts), strict=True)]
        return objects(results, len(results)) if dtype is object else np.array(results, dtype)

    return of_rows


def substring(text: str, place: int, length: int) -> str:
    """A negative position counts from the end; if it is before the start, the excess reduces the length."""
    start = place - 1 if place > 0 else len(text) + place if place < 0 else 0
    return text[max(0, start) : max(0, start + length)] if length > 0 else ""


def substring_index(text: str, separator: str, count: int) -> str:
    """The text before the separator's nth occurrence; for a negative count, after the nth from the end."""
    if not separator or not count:
        return ""
    at = -1 if count > 0 else len(text)
    for _ in range(abs(count)):
        # occurrences may overlap
        at = text.find(separator, at + 1) if count > 0 else text.rfind(separator, 0, at + len(separator) - 1)
        if at < 0:
            return text
    return text[:at] if count > 0 else text[at + len(separator) :]


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "Length": _each(len, np.int32),
    "Upper": _each(str.upper),
    "Lower": _each(str.lower),
    "StringTrim": _each(lambda text, signs=" ": text.strip(signs)),
    "StringTrimLeft": _each(lambda text, signs=" ": text.lstrip(signs)),
    "StringTrimRight": _each(lambda text, signs=" ": text.rstrip(signs)),
    "Concat": _each(lambda *texts: "".join(texts)),
    "Substring": _each(substring),
    "SubstringIndex": _each(substring_index),
    "StringReplace": _each(lambda text, sought, new: text.replace(sought, new) if sought else text),
    "StringInstr": _each(lambda text, sought: text.find(sought) + 1, np.int32),
    "Contains": _each(lambda text, sought: sought in text, bool),
    "StartsWith": _each(str.startswith, bool),
    "EndsWith": _each(str.endswith, bool),
}
