"""Operators of Spark SQL (non-ANSI, its default), by their class names in Spark's analyser.

The tests compare each with Spark on random rows.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from millstream.tracking.formulas import casts, math, texts, times
from millstream.tracking.formulas.cells import (
    FLOATS,
    INTS,
    Cells,
    is_decimal,
    objects,
    quotient,
    rescaled,
    scale_of,
    within,
)

Types = Sequence[str]
Computed = Callable[[str, Types, Sequence[Cells]], Cells]


class Operator(NamedTuple):
    computed: Computed
    """Takes the result type, the argument types and their cells."""
    takes: Callable[[str, Types], bool]
    """Whether these argument types yield that result type, exactly as in Spark."""


def _strict(function: Callable[..., Any]) -> Computed:
    """Null if any argument is null; `function` takes the arguments' values."""

    def computed(_: str, types: Types, parts: Sequence[Cells]) -> Cells:
        known = reduce(operator.and_, (part.known for part in parts))
        return Cells(function(*(part.values for part in parts)), known)

    return computed


def _all_of(*kinds: str) -> Callable[[str, Types], bool]:
    return lambda _, types: all(kind in kinds for kind in types)


def _same(_: str, types: Types) -> bool:
    return len(set(types)) == 1


def _numbers(kind: str, types: Types) -> bool:
    return kind in INTS or kind in FLOATS or is_decimal(kind)


def _arithmetic(kind: str, types: Types, parts: Sequence[Cells], function: Callable[[Any, Any], Any]) -> Cells:
    left, right = parts
    known = left.known & right.known
    if not is_decimal(kind):
        return Cells(function(left.values, right.values), known)
    scales = [scale_of(part) for part in types]
    if function is operator.mul:
        results, scale = left.values * right.values, sum(scales)
    else:
        scale = max(scales)
        aligned = [part.values * 10 ** (scale - own) for part, own in zip(parts, scales, strict=True)]
        results = function(*aligned)
    return within(objects((rescaled(value, scale, scale_of(kind)) for value in results), len(results)), known, kind)


def _arithmetical(function: Callable[[Any, Any], Any]) -> Operator:
    return Operator(lambda kind, types, parts: _arithmetic(kind, types, parts, function), _numbers)


def _divide(kind: str, types: Types, parts: Sequence[Cells]) -> Cells:
    left, right = parts
    known = left.known & right.known & (right.values != 0).astype(bool)
    if not is_decimal(kind):
        return Cells(np.divide(left.values, right.values, out=np.zeros_like(left.values), where=known), known)
    # Spark divides to 38 decimal places, and rounds again
    up = 38 + scale_of(types[1]) - scale_of(types[0])
    pairs = zip(left.values, right.values, known, strict=True)
    quotients = [rescaled(quotient(a * 10**up, b), 38, scale_of(kind)) if is_known else 0 for a, b, is_known in pairs]
    return within(objects(quotients, len(quotients)), known, kind)


def _integral_divide(kind: str, types: Types, parts: Sequence[Cells]) -> Cells:
    left, right = parts
    by = np.where(right.values == 0, 1, right.values)
    return Cells((left.values - np.fmod(left.values, by)) // by, left.known & right.known & (right.values != 0))


def _remainder(kind: str, types: Types, parts: Sequence[Cells]) -> Cells:
    left, right = parts
    by = np.where(right.values == 0, 1, right.values).astype(right.values.dtype)
    return Cells(np.fmod(left.values, by), left.known & right.known & (right.values != 0))


def _pmod(kind: str, types: Types, parts: Sequence[Cells]) -> Cells:
    rest, other = _remainder(kind, types, parts), parts[1]
    by = np.where(other.values == 0, 1, other.values).astype(other.values.dtype)
    return Cells(np.where(rest.values < 0, np.fmod(rest.values + by, by), rest.values), rest.known)


def equal(left: NDArray[Any], right: NDArray[Any]) -> NDArray[np.bool_]:
    """NaN equals NaN."""
    result_N = left == right
    if left.dtype.kind == "f":
        result_N = result_N | (np.isnan(left) & np.isnan(right))
    return np.asarray(result_N, bool)


def less(left: NDArray[Any], right: NDArray[Any]) -> NDArray[np.bool_]:
    """NaN is greater than any other value."""
    result_N = left < right
    if left.dtype.kind == "f":
        result_N = result_N | (~np.isnan(left) & np.isnan(right))
    return np.asarray(result_N, bool)


def _null_safe(kind: str, types: Types, parts: Sequence[Cells]) -> Cells:
    left, right = parts
    both = left.known & right.known
    return Cells(np.where(both, equal(left.values, right.values), left.known == right.known), np.ones(len(both), bool))


def _and(kind: str, types: Types, parts: Sequence[Cells]) -> Cells:
    left, right = parts
    is_false = (left.known & ~left.values) | (right.known & ~right.values)
    return Cells(left.values & right.values & left.known & right.known, is_false | (left.known & right.known))


def _or(kind: str, types: Types, parts: Sequence[Cells]) -> Cells:
    left, right = parts
    is_true = (left.known & left.values) | (right.known & right.values)
    return Cells(is_true, is_true | (left.known & right.known))


def _in(kind: str, types: Types, parts: Sequence[Cells]) -> Cells:
    own, listed = parts[0], parts[1:]
    is_there = reduce(operator.or_, (equal(own.values, cells.values) & cells.known for cells in listed))
    all_known = reduce(operator.and_, (cells.known for cells in listed))
    return Cells(is_there & own.known, own.known & (is_there | all_known))


def _chosen(default: Cells | None, branches: Sequence[tuple[NDArray[np.bool_], Cells]], like: Cells) -> Cells:
    """Per row, the first branch whose condition is true."""
    values = np.zeros_like(like.values) if default is None else default.values.copy()
    known = np.zeros(len(values), bool) if default is None else default.known.copy()
    for condition, cells in reversed(branches):
        values[condition], known[condition] = cells.values[condition], cells.known[condition]
    return Cells(values, known)


def _case(kind: str, types: Types, parts: Sequence[Cells]) -> Cells:
    default = parts[-1] if len(parts) % 2 else None
    pairs = zip(parts[0 : len(parts) - 1 : 2], parts[1::2], strict=True)
    return _chosen(default, [(when.known & when.values, then) for when, then in pairs], parts[1])


def _coalesce(kind: str, types: Types, parts: Sequence[Cells]) -> Cells:
    return _chosen(parts[-1], [(part.known, part) for part in parts[:-1]], parts[0])


def _most(is_better: Callable[[Any, Any], NDArray[np.bool_]]) -> Computed:
    def computed(kind: str, types: Types, parts: Sequence[Cells]) -> Cells:
        best = parts[0]
        for part in parts[1:]:
            takes = part.known & (~best.known | is_better(part.values, best.values))
            best = Cells(np.where(takes, part.values, best.values), best.known | part.known)
        return best

    return computed


def _nanvl(kind: str, types: Types, parts: Sequence[Cells]) -> Cells:
    own, other = parts
    return _chosen(own, [(own.known & np.isnan(own.values), other)], own)


def _results_alike(kind: str, types: Types) -> bool:
    values = types[1::2] if len(types) % 2 == 0 else [*types[1::2], types[-1]]
    return set(values) == {kind}


def _alike(kind: str, types: Types) -> bool:
    return set(types) == {kind}


_boolean = _all_of("boolean")
OPERATORS: dict[str, Operator] = {
    "Add": _arithmetical(operator.add),
    "Subtract": _arithmetical(operator.sub),
    "Multiply": _arithmetical(operator.mul),
    "Divide": Operator(_divide, lambda kind, types: kind == "double" or is_decimal(kind)),
    "IntegralDivide": Operator(_integral_divide, _all_of("bigint")),
    "Remainder": Operator(_remainder, _all_of(*INTS, *FLOATS)),
    "Pmod": Operator(_pmod, _all_of(*INTS, *FLOATS)),
    "UnaryMinus": Operator(_strict(operator.neg), _numbers),
    "UnaryPositive": Operator(_strict(operator.pos), _numbers),
    "Abs": Operator(_strict(abs), _numbers),
    "EqualTo": Operator(_strict(equal), _same),
    "EqualNullSafe": Operator(_null_safe, _same),
    "LessThan": Operator(_strict(less), _same),
    "GreaterThan": Operator(_strict(lambda one, other: less(other, one)), _same),
    "LessThanOrEqual": Operator(_strict(lambda one, other: ~less(other, one)), _same),
    "GreaterThanOrEqual": Operator(_strict(lambda one, other: ~less(one, other)), _same),
    "And": Operator(_and, _boolean),
    "Or": Operator(_or, _boolean),
    "Not": Operator(_strict(np.logical_not), _boolean),
    "In": Operator(_in, _same),
    "IsNull": Operator(
        lambda _, types, parts: Cells(~parts[0].known, np.ones(len(parts[0].known), bool)), lambda *_: True
    ),
    "IsNotNull": Operator(
        lambda _, types, parts: Cells(parts[0].known.copy(), np.ones(len(parts[0].known), bool)), lambda *_: True
    ),
    "IsNaN": Operator(
        lambda _, types, parts: Cells(parts[0].known & np.isnan(parts[0].values), np.ones(len(parts[0].known), bool)),
        _all_of(*FLOATS),
    ),
    "NaNvl": Operator(_nanvl, _all_of(*FLOATS)),
    "CaseWhen": Operator(_case, _results_alike),
    "If": Operator(_case, _results_alike),
    "Coalesce": Operator(_coalesce, _alike),
    "Greatest": Operator(_most(lambda one, best: less(best, one)), _alike),
    "Least": Operator(_most(less), _alike),
    "Cast": Operator(casts.cast, casts.can),
}
OPERATORS |= {name: Operator(computed, _all_of("double")) for name, computed in math.OF_FLOATS.items()}
OPERATORS |= {
    "Floor": Operator(math.floor, math.can_cut),
    "Ceil": Operator(math.ceil, math.can_cut),
    "Round": Operator(math.rounded, math.can_round),
}
OPERATORS |= {
    name: Operator(_strict(function), takes)
    for functions, takes in (
        (times.OF_DATES, _all_of("date", "int")),
        (times.OF_TIMES, _all_of("timestamp")),
        (texts.FUNCTIONS, _all_of("string", "int")),
    )
    for name, function in functions.items()
}
