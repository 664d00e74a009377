"""Statistics of a column, formatted for display: splits side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from millstream.tracking.dataset.records import Column
from millstream.tracking.inspection.statistics import Summary

QUARTILES = ("least", "25 %", "median", "75 %", "greatest")


def figures(column: Column, found: Mapping[str, Summary]) -> dict[str, list[str]]:
    """{statistic: its value in each split}; empty for a column without numbers or missing values."""
    facts: dict[str, list[str]] = {}
    shown = shower(column.dtype)
    every = list(found.values())
    if any(one.missing for one in every):
        facts["missing"] = [f"{one.missing:,} ({one.missing / max(1, one.rows):.1%})" for one in every]
    if any(one.spread for one in every):
        of = {"characters": "characters, ", "tokens": "tokens, "}.get(every[0].measured, "")
        facts[f"{of}mean"] = [shown(one.spread.mean) if one.spread else "" for one in every]
        facts["deviation"] = [_apart(column, one.spread.deviation) if one.spread else "" for one in every]
        for at, name in enumerate(QUARTILES):
            facts[name] = [shown(one.spread.quartiles[at]) if one.spread else "" for one in every]
    return facts


def ends(column: Column, found: Mapping[str, Summary]) -> tuple[str, str]:
    """Labels of the ends of a histogram; with ≤ or ≥ where values lie beyond."""
    spread = next((one.spread for one in found.values() if one.spread), None)
    if spread is None:
        return "", ""
    shown = shower(column.dtype)
    low, high = spread.edges[0], spread.edges[-1]
    least = min(one.spread.quartiles[0] for one in found.values() if one.spread)
    most = max(one.spread.quartiles[4] for one in found.values() if one.spread)
    return ("≤ " if least < low else "") + shown(max(low, least)), ("≥ " if most > high else "") + shown(
        min(high, most)
    )


def shower(dtype: str) -> Callable[[float], str]:
    """Formatter for numbers of a column: times as such, integers without a decimal point."""
    return _time if dtype.startswith("datetime64") else number


def number(value: float) -> str:
    """Five significant digits, with thousands separators."""
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.1f}" if abs(value) >= 10_000 else f"{value:.5g}"


def _time(microseconds: float) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)).strftime("%Y-%m-%d %H:%M")


def _apart(column: Column, deviation: float) -> str:
    return f"{deviation / 86_400e6:.3g} days" if column.dtype.startswith("datetime64") else number(deviation)
