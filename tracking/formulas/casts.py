"""Casts of Spark SQL in non-ANSI mode: invalid values become null, or wrap as in Java."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millstream.tracking.formulas.cells import (
    FLOATS,
    INTS,
    Cells,
    dtype_of,
    is_decimal,
    objects,
    rescaled,
    scale_of,
    within,
)

_DAY_US = 86_400_000_000
_WHOLE = re.compile(r"[+-]?(?=.)[0-9]*(?:\.[0-9]*)?")
_FLOAT = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)[dDfF]?")
_HEX = re.compile(r"([+-]?0[xX](?:[0-9a-fA-F]+\.?|[0-9a-fA-F]*\.[0-9a-fA-F]+)[pP][+-]?[0-9]{1,3})[dDfF]?")
"""Java's hexadecimal floats; longer exponents are out of range."""
_NAMED = {"inf": np.inf, "infinity": np.inf, "nan": np.nan}
_BLANKS = "".join(map(chr, range(33)))
_CONTROL = _BLANKS + "".join(map(chr, range(127, 160)))


def can(kind: str, types: Sequence[str]) -> bool:
    """Whether the cast is implemented."""
    return kind == types[0] or types[0] == "void" or _cast(kind, types[0]) is not None


def cast(kind: str, types: Sequence[str], parts: Sequence[Cells]) -> Cells:
    (own,), (source,) = parts, types
    if kind == source:
        return Cells(own.values.copy(), own.known.copy())
    if source == "void":
        return Cells(np.zeros(len(own.known), dtype_of(kind)), own.known.copy())
    function = _cast(kind, source)
    if function is None:
        raise ValueError(f"no cast from {source} to {kind}")
    return function(own)


def _cast(kind: str, source: str) -> Callable[[Cells], Cells] | None:
    if source == "string":
        return _from_text(kind)
    is_number = source in INTS or source in FLOATS or source == "boolean"
    if kind == "string":
        return _to_text(source)
    if is_number and (kind in INTS or kind in FLOATS):
        return lambda own: Cells(_number(own.values, source, kind), own.known)
    if kind == "boolean" and source in {**INTS, **FLOATS}:
        return lambda own: Cells(own.values != 0, own.known)
    if is_decimal(kind) and source in INTS:
        factor = 10 ** scale_of(kind)
        return lambda own: within(
            objects((one * factor for one in own.values.tolist()), len(own.values)), own.known, kind
        )
    if is_decimal(source):
        return _from_decimal(kind, source)
    times: dict[tuple[str, str], Callable[[NDArray[Any]], NDArray[Any]]] = {
        ("timestamp", "date"): lambda values: (values // _DAY_US).astype(np.int32),
        ("date", "timestamp"): lambda values: values.astype(np.int64) * _DAY_US,
        ("timestamp", "bigint"): lambda values: values // 1_000_000,
        ("timestamp", "double"): lambda values: values / 1e6,
    }
    between = times.get((source, kind))
    return (lambda own: Cells(between(own.values), own.known)) if between else None


def _number(values: NDArray[Any], source: str, kind: str) -> NDArray[Any]:
    if source not in FLOATS or kind in FLOATS:
        return values.astype(dtype_of(kind))
    # as in Java: narrow types are cast through int, NaN is 0, and values saturate
    through = np.int64 if kind == "bigint" else np.int32
    info = np.iinfo(through)
    wide = np.nan_to_num(np.trunc(values.astype(np.float64)), nan=0.0)
    is_inside = (wide >= float(info.min)) & (wide < float(info.max) + (through is np.int32))
    whole = np.where(is_inside, wide, 0).astype(through)
    whole = np.where(is_inside, whole, np.where(wide < 0, info.min, info.max)).astype(through)
    return whole.astype(dtype_of(kind))


def _from_decimal(kind: str, source: str) -> Callable[[Cells], Cells] | None:
    scale, digits = scale_of(source), int(source[8:].partition(",")[0])
    if kind == "double":
        return lambda own: Cells(np.array([float(f"{one}e-{scale}") for one in own.values], float), own.known)
    if kind in INTS and digits - scale <= 18:
        cut = 10**scale
        return lambda own: Cells(
            np.array([abs(one) // cut * (1 if one >= 0 else -1) for one in own.values], np.int64).astype(INTS[kind]),
            own.known,
        )
    if is_decimal(kind):
        to = scale_of(kind)
        return lambda own: within(
            objects((rescaled(one, scale, to) for one in own.values), len(own.values)), own.known, kind
        )
    return None


def _to_text(source: str) -> Callable[[Cells], Cells] | None:
    if source in INTS:
        return lambda own: Cells(objects(map(str, own.values.tolist()), len(own.values)), own.known)
    if source == "boolean":
        return lambda own: Cells(
            objects(("true" if one else "false" for one in own.values), len(own.values)), own.known
        )
    return None


def _from_text(kind: str) -> Callable[[Cells], Cells] | None:
    if kind not in (*INTS, "double"):
        return None
    read = _float if kind == "double" else lambda text: _whole(text, np.iinfo(INTS[kind]))

    def of_texts(own: Cells) -> Cells:
        read_texts = [read(text) for text in own.values]
        known = np.array([one is not None for one in read_texts], bool)
        return Cells(np.array([0 if one is None else one for one in read_texts], dtype_of(kind)), own.known & known)

    return of_texts


def _whole(text: str, info: Any) -> int | None:
    """Fractions are truncated."""
    plain = text.strip(_CONTROL)
    if not _WHOLE.fullmatch(plain):
        return None
    whole = int((plain.partition(".")[0].lstrip("+-")) or 0) * (-1 if plain[0] == "-" else 1)
    return whole if info.min <= whole <= info.max else None


def _float(text: str) -> float | None:
    plain = text.strip(_BLANKS)
    if match := _FLOAT.fullmatch(plain):
        return float(match[1])
    if match := _HEX.fullmatch(plain):
        return float.fromhex(match[1])
    sign, name = (plain[0], plain[1:]) if plain[:1] in ("+", "-") else ("", plain)
    value = _NAMED.get(name.lower())
    if value is None or (sign and np.isnan(value) and plain[1:] != "NaN"):
        return None
    return -value if sign == "-" else value
