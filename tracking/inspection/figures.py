"""Statistics of a column, formatted for display: splits side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from millstream.tracking.dataset.records import Column
from millstream.tracking.inspection.statistics import Summary

QUARTILES = ("least", "25 %", "median", "75 %", "greatest")


def figures(column: Column, summaries: Mapping[str, Summary]) -> dict[str, list[str]]:
    """{statistic: its value in each split}; empty for a column without numbers or missing values."""
    facts: dict[str, list[str]] = {}
    shown = shower(column.dtype)
    every = list(summaries.values())
    if any(summary.missing for summary in every):
        facts["missing"] = [f"{summary.missing:,} ({summary.missing / max(1, summary.rows):.1%})" for summary in every]
    if any(summary.spread for summary in every):
        of = {"characters": "characters, ", "tokens": "tokens, "}.get(every[0].measured, "")
        facts[f"{of}mean"] = [shown(summary.spread.mean) if summary.spread else "" for summary in every]
        facts["deviation"] = [_apart(column, summary.spread.deviation) if summary.spread else "" for summary in every]
        for at, name in enumerate(QUARTILES):
            facts[name] = [shown(summary.spread.quartiles[at]) if summary.spread else "" for summary in every]
    return facts


def ends(column: Column, summaries: Mapping[str, Summary]) -> tuple[str, str]:
    """Labels of the ends of a histogram; with ≤ or ≥ where values lie beyond."""
    spread = next((summary.spread for summary in summaries.values() if summary.spread), None)
    if spread is None:
        return "", ""
    shown = shower(column.dtype)
    low, high = spread.edges[0], spread.edges[-1]
    least = min(summary.spread.quartiles[0] for summary in summaries.values() if summary.spread)
    most = max(summary.spread.quartiles[4] for summary in summaries.values() if summary.spread)
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
