"""Terminal output for several runs: leaderboards, studies, searches."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from millstream.verbs.terminal.draw import MOST_ROWS, Row, plain, short, table, tell


def compared(rows: Sequence[Any]) -> None:
    """Leaderboard and further metrics for each dataset version."""
    told = [plain(row) for row in rows]
    for run_id in dict.fromkeys(row["leaderboard"] for row in told):
        _board([row for row in told if row["leaderboard"] == run_id])
        tell(f"table and figure: run {run_id} of the experiment compare", markup=False)


def _board(board: Sequence[Mapping[str, Any]]) -> None:
    first = board[0]
    title = f"{first['dataset']}/{first['version']}: {first['rows']:,} test rows"
    heads = ("recipe", first["metric"], "95 %", "p against best", "training s", "us a row")
    table(title, heads, [_placed(row) for row in board])
    names = list(first["metrics"])
    rest = [(row["recipe"], *(f"{row['metrics'][one]:.4g}" for one in names)) for row in board]
    table("measured again", ("recipe", *(one.removeprefix("test/") for one in names)), rest)


def _placed(row: Mapping[str, Any]) -> Row:
    between = "" if row["low"] is None else f"{row['low']:.4g} - {row['high']:.4g}"
    trained = "" if row["train_seconds"] is None else f"{row['train_seconds']:.1f}"
    name, scored_us = f"{row['place']} {row['recipe']}", f"{1e6 * row['score_seconds']:.3g}"
    return (name, f"{row['value']:.5g}", between, _against(row["against_best"]), trained, scored_us)


def _against(told: Mapping[str, Any] | None) -> str:
    return f"{told['p_adjusted']:.2g} {told['test']}" if told else ""


def studied(result: Any) -> None:
    told = plain(result)
    names, axes = told["metrics"], list(told["rows"][0]["values"])
    rows = [
        (
            *row["values"].values(),
            *(f"{row['metrics'][one]:.4g}" if one in row["metrics"] else "" for one in names),
            row["failed"] or f"{row['seconds'] or 0:.1f}",
        )
        for row in told["rows"]
    ]
    table("study", (*axes, *names, "seconds"), rows)
    if told["ranked"]:
        _board(told["ranked"])
    tell(f"run {told['run_id']}; table {told['table']}; figure {told['figure']}", markup=False)


def searched(result: Any) -> None:
    """Trials, best first."""
    told = plain(result)
    best, metric = told["best"], told["metric"]
    measured = [one for one in told["trials"] if math.isfinite(one["metrics"].get(metric, math.nan))]
    ordered = sorted(measured, key=lambda one: one["metrics"][metric], reverse=told["largest"])
    ordered += [one for one in told["trials"] if one not in measured]
    rows = [
        (
            *(short(value, 30) for value in one["values"].values()),
            f"{one['metrics'][metric]:.5g}" if metric in one["metrics"] else "",
            one["failed"] or f"{one['seconds'] or 0:.1f}",
        )
        for one in ordered[:MOST_ROWS]
    ]
    table(f"the best of {len(ordered)} trials", (*best["values"], metric, "seconds"), rows)
    tell(f"run {told['run_id']}; table {told['table']}; figure {told['figure']}", markup=False)
    tell("train with the best: " + shlex.join(["millstream", "run", told["recipe"], *told["words"]]), markup=False)
