"""Floating-point functions as in Spark: logarithms and exp are bit-identical to Java's StrictMath.

Source: fdlibm 5.3 (Sun Microsystems, 1993), s_log1p.c, e_log.c, e_log10.c and e_exp.c, which StrictMath is specified
to match; the C library's results differ in the last bit. Other functions of StrictMath are not implemented.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millstream.tracking.formulas.casts import cast
from millstream.tracking.formulas.cells import FLOATS, INTS, Cells, is_decimal, objects, rescaled, scale_of, within

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
_LN2_HI, _LN2_LO = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_L1, _L2, _L3, _L4 = (
    6.666666666666735130e-01,
    3.999999999940941908e-01,
    2.857142874366239149e-01,
    2.222219843214978396e-01,
)
_L5, _L6, _L7 = 1.818357216161805012e-01, 1.531383769920937332e-01, 1.479819860511658591e-01
_P1, _P2, _P3 = 1.66666666666666019037e-01, -2.77777777770155933842e-03, 6.61375632143793436117e-05
_P4, _P5 = -1.65339022054652515390e-06, 4.13813679705723846039e-08
_LOG10_2_HI, _LOG10_2_LO, _1_LN10 = 3.01029995663611771306e-01, 3.69423907715893078616e-13, 4.34294481903251816668e-01
_1_LN2 = 1.44269504088896338700e00


def _high(x: Floats) -> Whole:
    """The upper 32 bits."""
    found: Whole = x.view(np.int64) >> 32
    return found


def _with_high(x: Floats, high: Whole) -> Floats:
    return ((x.view(np.int64) & 0xFFFFFFFF) | (high << 32)).view(np.float64)


def _normal(x: Floats) -> tuple[Floats, Whole]:
    """Subnormals scaled by 2**54, with the exponent correction."""
    is_small = _high(x) < 0x00100000
    return np.where(is_small, x * 2.0**54, x), np.where(is_small, -54, 0)


def log(x: Floats) -> Floats:
    """For x > 0."""
    y, k = _normal(x)
    high = _high(y)
    k = k + (high >> 20) - 1023
    high = high & 0x000FFFFF
    i = (high + 0x95F64) & 0x100000
    y = _with_high(y, high | (i ^ 0x3FF00000))
    k = k + (i >> 20)
    f, dk = y - 1.0, k.astype(np.float64)
    s = f / (2.0 + f)
    z = s * s
    w = z * z
    r = z * (_L1 + w * (_L3 + w * (_L5 + w * _L7))) + w * (_L2 + w * (_L4 + w * _L6))
    half = 0.5 * f * f
    tiny = f * f * (0.5 - 0.33333333333333333 * f)
    near = np.where(k == 0, f - tiny, dk * _LN2_HI - ((tiny - dk * _LN2_LO) - f))
    near = np.where(f == 0, dk * _LN2_HI + dk * _LN2_LO, near)
    low = np.where(k == 0, f - s * (f - r), dk * _LN2_HI - ((s * (f - r) - dk * _LN2_LO) - f))
    wide = np.where(k == 0, f - (half - s * (half + r)), dk * _LN2_HI - ((half - (s * (half + r) + dk * _LN2_LO)) - f))
    is_wide = ((high - 0x6147A) | (0x6B851 - high)) > 0
    result = np.where((0x000FFFFF & (2 + high)) < 3, near, np.where(is_wide, wide, low))
    return np.where(np.isfinite(x), result, x)


def log10(x: Floats) -> Floats:
    """For x > 0."""
    y, k = _normal(x)
    high = _high(y)
    k = k + (high >> 20) - 1023
    i = (k < 0).astype(np.int64)
    y = _with_high(y, (high & 0x000FFFFF) | ((0x3FF - i) << 20))
    exponent = (k + i).astype(np.float64)
    result = exponent * _LOG10_2_LO + _1_LN10 * log(y) + exponent * _LOG10_2_HI
    return np.where(np.isfinite(x), result, x)


def log1p(x: Floats) -> Floats:
    """For x > -1."""
    high = _high(x)
    size = high & 0x7FFFFFFF
    is_plain = (high < 0x3FDA827A) & ((high > 0) | (high <= -0x402D413D))  # between -0.2929 and 0.41422
    is_large = high >= 0x43400000
    u = np.where(is_large, x, 1.0 + x)
    k = (_high(u) >> 20) - 1023
    c = np.where(is_large, 0.0, np.where(k > 0, 1.0 - (u - x), x - (u - 1.0)) / u)
    hu = _high(u) & 0x000FFFFF
    is_lower = hu < 0x6A09E
    u = _with_high(u, np.where(is_lower, hu | 0x3FF00000, hu | 0x3FE00000))
    k = np.where(is_lower, k, k + 1)
    hu = np.where(is_lower, hu, (0x00100000 - hu) >> 2)
    f, k, hu, c = np.where(is_plain, x, u - 1.0), np.where(is_plain, 0, k), np.where(is_plain, 1, hu), c
    dk, half = k.astype(np.float64), 0.5 * f * f
    tiny = half * (1.0 - 0.66666666666666666 * f)
    near = np.where(k == 0, f - tiny, dk * _LN2_HI - ((tiny - (dk * _LN2_LO + c)) - f))
    near = np.where(f == 0, np.where(k == 0, 0.0, dk * _LN2_HI + (c + dk * _LN2_LO)), near)
    s = f / (2.0 + f)
    z = s * s
    r = z * (_L1 + z * (_L2 + z * (_L3 + z * (_L4 + z * (_L5 + z * (_L6 + z * _L7))))))
    wide = np.where(
        k == 0, f - (half - s * (half + r)), dk * _LN2_HI - ((half - (s * (half + r) + (dk * _LN2_LO + c))) - f)
    )
    result = np.where(hu == 0, near, wide)
    result = np.where(size < 0x3E200000, np.where(size < 0x3C900000, x, x - x * x * 0.5), result)
    return np.where(np.isfinite(x), result, x)


def exp(x: Floats) -> Floats:
    size, is_below = _high(x) & 0x7FFFFFFF, x < 0
    one = np.where(is_below, -1.0, 1.0)
    k = np.where(size < 0x3FF0A2B2, one, np.trunc(_1_LN2 * np.nan_to_num(x) + 0.5 * one))
    k = np.where(size > 0x3FD62E42, np.clip(k, -2000, 2000), 0.0)
    high, low = x - k * _LN2_HI, k * _LN2_LO
    y = np.where(k == 0, x, high - low)
    t = y * y
    c = y - t * (_P1 + t * (_P2 + t * (_P3 + t * (_P4 + t * _P5))))
    whole = k.astype(np.int32)
    scaled = 1.0 - ((low - (y * c) / (2.0 - c)) - high)
    deep = np.ldexp(scaled, whole + 1000) * 2.0**-1000
    result = np.where(k == 0, 1.0 - ((y * c) / (c - 2.0) - y), np.where(k >= -1021, np.ldexp(scaled, whole), deep))
    result = np.where(size < 0x3E300000, 1.0 + x, result)
    result = np.where(x > 7.09782712893383973096e02, np.inf, np.where(x < -7.45133219101941108420e02, 0.0, result))
    return np.where(np.isnan(x), x, result)


def of_floats(function: Callable[[Floats], Floats], above: float | None = None) -> Any:
    """Null for values not above `above`."""

    def computed(kind: str, types: Sequence[str], parts: Sequence[Cells]) -> Cells:
        own = parts[0]
        fits = np.ones(len(own.known), bool) if above is None else ~(own.values <= above)
        return Cells(function(np.where(fits, own.values, 1.0)), own.known & fits)

    return computed


def logarithm(kind: str, types: Sequence[str], parts: Sequence[Cells]) -> Cells:
    """To a base, which is the first argument."""
    base, own = parts
    fits = ~(base.values <= 0) & ~(own.values <= 0)
    result = log(np.where(fits, own.values, 1.0)) / log(np.where(fits, base.values, 1.0))
    return Cells(result, base.known & own.known & fits)


LOG_2 = float(log(np.array([2.0]))[0])
OF_FLOATS: dict[str, Any] = {
    "Sqrt": of_floats(np.sqrt),
    "Signum": of_floats(lambda x: np.where(x == 0, x, np.sign(x))),
    "Exp": of_floats(exp),
    "Log": of_floats(log, 0.0),
    "Log2": of_floats(lambda x: log(x) / LOG_2, 0.0),
    "Log10": of_floats(log10, 0.0),
    "Log1p": of_floats(log1p, -1.0),
    "Logarithm": logarithm,
}


def can_cut(kind: str, types: Sequence[str]) -> bool:
    return (kind, types[0]) in (("bigint", "double"), ("bigint", "bigint")) or (
        is_decimal(kind) and is_decimal(types[0]) and scale_of(kind) == 0
    )


def floor(kind: str, types: Sequence[str], parts: Sequence[Cells]) -> Cells:
    return _cut(kind, types[0], parts[0], np.floor, lambda one, by: one // by)


def ceil(kind: str, types: Sequence[str], parts: Sequence[Cells]) -> Cells:
    return _cut(kind, types[0], parts[0], np.ceil, lambda one, by: -(-one // by))


def _cut(kind: str, source: str, own: Cells, of_float: Any, of_whole: Callable[[int, int], int]) -> Cells:
    if source == "double":
        return cast(kind, [source], [Cells(of_float(own.values), own.known)])
    if is_decimal(source):
        by = 10 ** scale_of(source)
        return within(objects((of_whole(one, by) for one in own.values), len(own.values)), own.known, kind)
    return own


def can_round(kind: str, types: Sequence[str]) -> bool:
    return kind in FLOATS or (kind in INTS and kind == types[0]) or (is_decimal(kind) and is_decimal(types[0]))


def rounded(kind: str, types: Sequence[str], parts: Sequence[Cells]) -> Cells:
    """Round half up (away from 0), applied to a float's shortest decimal form."""
    own, places = parts
    rows = list(zip(own.values.tolist(), places.values.tolist(), strict=True))
    if kind in FLOATS:
        return Cells(np.array([_rounded(value, to) for value, to in rows], own.values.dtype), own.known)
    if is_decimal(kind):
        scale = scale_of(types[0])
        cut = [
            rescaled(rescaled(value, scale, to) if to < scale else value, min(to, scale), scale_of(kind))
            for value, to in rows
        ]
        return within(objects(cut, len(cut)), own.known, kind)
    values = [value if to >= 0 else rescaled(value, 0, to) * 10**-to for value, to in rows]
    return Cells(np.array(values, object).astype(own.values.dtype), own.known)


def _rounded(value: float, places: int) -> float:
    if not np.isfinite(value):
        return value
    value += 0.0  # a decimal has no -0
    written = Decimal(repr(value))
    if -written.as_tuple().exponent <= places:  # type: ignore[operator]
        return value
    return float(written.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)) + 0.0
