"""Terminal output for several runs: leaderboards, studies, searches."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from millstream.verbs.terminal.draw import MOST_ROWS, Row, echo, plain, short, table


def compared(rows: Sequence[Any]) -> None:
    """Leaderboard and further metrics for each dataset version."""
    placed = [plain(row) for row in rows]
    for run_id in dict.fromkeys(row["leaderboard"] for row in placed):
        _board([row for row in placed if row["leaderboard"] == run_id])
        echo(f"table and figure: run {run_id} of the experiment compare", markup=False)


def _board(board: Sequence[Mapping[str, Any]]) -> None:
    first = board[0]
    title = f"{first['dataset']}/{first['version']}: {first['rows']:,} test rows"
    heads = ("recipe", first["metric"], "95 %", "p against best", "training s", "us a row")
    table(title, heads, [_placed(row) for row in board])
    names = list(first["metrics"])
    rest = [(row["recipe"], *(f"{row['metrics'][name]:.4g}" for name in names)) for row in board]
    table("measured again", ("recipe", *(name.removeprefix("test/") for name in names)), rest)


def _placed(row: Mapping[str, Any]) -> Row:
    between = "" if row["low"] is None else f"{row['low']:.4g} - {row['high']:.4g}"
    trained = "" if row["train_seconds"] is None else f"{row['train_seconds']:.1f}"
    name, scored_us = f"{row['place']} {row['recipe']}", f"{1e6 * row['score_seconds']:.3g}"
    return (name, f"{row['value']:.5g}", between, _against(row["against_best"]), trained, scored_us)


def _against(comparison: Mapping[str, Any] | None) -> str:
    return f"{comparison['p_adjusted']:.2g} {comparison['test']}" if comparison else ""


def studied(result: Any) -> None:
    report = plain(result)
    names, axes = report["metrics"], list(report["rows"][0]["values"])
    rows = [
        (
            *row["values"].values(),
            *(f"{row['metrics'][name]:.4g}" if name in row["metrics"] else "" for name in names),
            row["failed"] or f"{row['seconds'] or 0:.1f}",
        )
        for row in report["rows"]
    ]
    table("study", (*axes, *names, "seconds"), rows)
    if report["ranked"]:
        _board(report["ranked"])
    echo(f"run {report['run_id']}; table {report['table']}; figure {report['figure']}", markup=False)


def searched(result: Any) -> None:
    """Trials, best first."""
    report = plain(result)
    best, metric = report["best"], report["metric"]
    measured = [trial for trial in report["trials"] if math.isfinite(trial["metrics"].get(metric, math.nan))]
    ordered = sorted(measured, key=lambda trial: trial["metrics"][metric], reverse=report["largest"])
    ordered += [trial for trial in report["trials"] if trial not in measured]
    rows = [
        (
            *(short(value, 30) for value in trial["values"].values()),
            f"{trial['metrics'][metric]:.5g}" if metric in trial["metrics"] else "",
            trial["failed"] or f"{trial['seconds'] or 0:.1f}",
        )
        for trial in ordered[:MOST_ROWS]
    ]
    table(f"the best of {len(ordered)} trials", (*best["values"], metric, "seconds"), rows)
    echo(f"run {report['run_id']}; table {report['table']}; figure {report['figure']}", markup=False)
    echo("train with the best: " + shlex.join(["millstream", "run", report["recipe"], *report["words"]]), markup=False)
