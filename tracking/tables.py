"""What a person sees of a result in the terminal; rich is loaded when there is something to show."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from tracking import parts
from tracking.printable import printable

Row = Sequence[Any]
MOST_SHOWN, MOST_ACROSS = 20, 8
"""Classes, and columns of a row, that are told in the terminal; `--json` and `--html` have more."""

SHOWN = 25
"""Values of a search, at the most, that a table shows."""


def recipes(found: list[dict[str, Any]]) -> None:
    rows = [
        (one["name"], one["source"], one["task"], " ".join(one["budgets"]), _marks(one["pass"]), one["about"])
        for one in found
    ]
    _table("recipes", ("recipe", "data", "task", "budgets", "pass mark", "about"), rows)


def faults(told: Mapping[str, Any]) -> None:
    if told["ok"]:
        _print("[green]no faults[/green]")
    for fault in told["faults"]:
        _print(f"{fault['where']}: {fault['message']}", markup=False)


def pruned(result: Any) -> None:
    told = _plain(result)
    verdict = "removed" if told["done"] else "would go"
    rows = [(one["dataset"], one["version"], _mib(one["bytes"]), verdict) for one in told["goes"]]
    rows += [
        (one["dataset"], one["version"], _mib(one["bytes"]), f"stays: {', '.join(one['why'])}") for one in told["stays"]
    ]
    _table("versions", ("dataset", "version", "MiB", ""), rows)
    if told["goes"] and not told["done"]:
        _print(f"{_mib(sum(one['bytes'] for one in told['goes']))} MiB; --yes removes them", markup=False)


def checked(told: Mapping[str, Any]) -> None:
    faults(told)
    if "fields" in told:
        rows = [(one["field"], one["value"], _meaning(one)) for one in told["fields"]]
        _table("fields", ("field", "value", "meaning"), rows)


def _meaning(field: Mapping[str, Any]) -> str:
    return f"{field['about']} ({' | '.join(field['choices'])})" if field["choices"] else str(field["about"])


def prepared(result: Any) -> None:
    told = _plain(result)
    if told["dataset"]:
        _table("prepared", ("what", "found"), _prepared(told))


def trained(result: Any) -> None:
    told = _plain(result)
    _table("trained", ("what", "found"), _trained(told))
    _hint(told)


def trained_or_found(result: Any) -> None:
    """Of `train`, which with `--find` only looks for a value."""
    told = _plain(result)
    if "field" not in told:
        trained(told)
        return
    tried = told["tried"][:: max(1, len(told["tried"]) // SHOWN)]
    _table(told["field"], ("tried", "found"), [(f"{value:.4g}", f"{found:.4g}") for value, found in tried])
    _print(f"--set {told['field']}={told['value']:g}: {told['about']}", markup=False)


def run(result: Any) -> None:
    told = _plain(result)
    trained_too = "run_id" in told  # not so for a recipe of data alone
    rows = [*(_prepared(told) if told.get("dataset") else []), *(_trained(told) if trained_too else [])]
    _table("done", ("what", "found"), rows)
    if trained_too:
        _hint(told)


def evaluated(result: Any) -> None:
    told = _plain(result)
    _table(f"{told['rows']:,} rows", ("metric", "value"), [(name, f"{v:.5g}") for name, v in told["metrics"].items()])


def compared(rows: Sequence[Any]) -> None:
    """The order and the other metrics, for each dataset version."""
    told = [_plain(row) for row in rows]
    for run_id in dict.fromkeys(row["leaderboard"] for row in told):
        _board([row for row in told if row["leaderboard"] == run_id])
        _print(f"table and figure: run {run_id} of the experiment compare", markup=False)


def _board(board: Sequence[Mapping[str, Any]]) -> None:
    first = board[0]
    title = f"{first['dataset']}/{first['version']}: {first['rows']:,} test rows"
    heads = ("recipe", first["metric"], "95 %", "p against best", "training s", "us a row")
    _table(title, heads, [_placed(row) for row in board])
    names = list(first["metrics"])
    rest = [(row["recipe"], *(f"{row['metrics'][one]:.4g}" for one in names)) for row in board]
    _table("measured again", ("recipe", *(one.removeprefix("test/") for one in names)), rest)


def _placed(row: Mapping[str, Any]) -> Row:
    between = "" if row["low"] is None else f"{row['low']:.4g} - {row['high']:.4g}"
    trained = "" if row["train_seconds"] is None else f"{row['train_seconds']:.1f}"
    name, scored_us = f"{row['place']} {row['recipe']}", f"{1e6 * row['score_seconds']:.3g}"
    return (name, f"{row['value']:.5g}", between, _against(row["against_best"]), trained, scored_us)


def _against(told: Mapping[str, Any] | None) -> str:
    return f"{told['p_adjusted']:.2g} {told['test']}" if told else ""


def studied(result: Any) -> None:
    told = _plain(result)
    names, axes = told["metrics"], list(told["rows"][0]["values"])
    rows = [
        (
            *row["values"].values(),
            *(f"{row['metrics'][one]:.4g}" if one in row["metrics"] else "" for one in names),
            row["failed"] or f"{row['seconds'] or 0:.1f}",
        )
        for row in told["rows"]
    ]
    _table("study", (*axes, *names, "seconds"), rows)
    if told["ranked"]:
        _board(told["ranked"])
    _print(f"run {told['run_id']}; table {told['table']}; figure {told['figure']}", markup=False)


def searched(result: Any) -> None:
    """The best trials first."""
    told = _plain(result)
    best, metric = told["best"], told["metric"]
    measured = [one for one in told["trials"] if metric in one["metrics"]]
    ordered = sorted(measured, key=lambda one: one["metrics"][metric], reverse=told["largest"])
    ordered += [one for one in told["trials"] if one not in measured]
    rows = [
        (
            *(_short(value, 30) for value in one["values"].values()),
            f"{one['metrics'][metric]:.5g}" if metric in one["metrics"] else "",
            one["failed"] or f"{one['seconds'] or 0:.1f}",
        )
        for one in ordered[:SHOWN]
    ]
    _table(f"the best of {len(ordered)} trials", (*best["values"], metric, "seconds"), rows)
    _print(f"run {told['run_id']}; table {told['table']}; figure {told['figure']}", markup=False)
    _print("train with the best: " + shlex.join(["millstream", "run", told["recipe"], *told["words"]]), markup=False)


def scored(result: Any) -> None:
    told = _plain(result)
    _print(f"{told['rows']:,} rows scored in {told['seconds']:.1f} s: {told['output']}", markup=False)


def inspected(told: Mapping[str, Any]) -> None:
    if "sample" in told:
        _lineage(told)
        return
    facts = [(name, told[name]) for name in ("path", "created", "seed")]
    _table(f"{told['dataset']}/{told['version']}", ("what", "found"), [("from", told["source"]["origin"]), *facts])
    splits = [
        (k, f"{v['rows']:,}", f"{v['read']} of {v['shards']}", v["digest"][:12]) for k, v in told["splits"].items()
    ]
    _table("splits", ("split", "rows", "shards read", "digest"), splits)
    _class_balance(told["splits"])
    _columns(told)
    steps = [
        (one["name"], f"{one['rows_in']:,}", f"{one['rows_out']:,}", _learned(one["learned"])) for one in told["steps"]
    ]
    _table("steps", ("step", "rows in", "rows out", "learned on train"), steps)
    _table("checks", ("check", "ok", "figures"), [(one["name"], one["ok"], one["figures"]) for one in told["checks"]])
    if told["quarantine"]:
        most = max(told["quarantine"].values())
        aside = [(reason, f"{count:,}", _bar(count / most)) for reason, count in told["quarantine"].items()]
        _table("put aside", ("reason", "rows", ""), aside)
    if told["examples"]:
        names = list(told["examples"][0])[:MOST_ACROSS]
        _table("rows", names, [[_short(row.get(name), 40) for name in names] for row in told["examples"]])


def _lineage(told: Mapping[str, Any]) -> None:
    chain = [told["sample"], *told["ancestors"]]
    rows = [(name, *(_short(one.get(name, "")) for one in chain)) for name in chain[0]]
    _table("lineage", ("", "sample", *["parent"] * len(told["ancestors"])), rows)
    place = told["source"]["place"]
    where = ", ".join(f"{name} {value}" for name, value in place.items()) if place else told["source"]["origin"]
    _print(f"from {told['source']['name']}: {where}", markup=False)


def _class_balance(splits: Mapping[str, Any]) -> None:
    train = splits["train"]["class_counts"]
    most = max(train.values(), default=0)
    rows = [
        (name, _bar(train[name] / max(1, most)), *(f"{one['class_counts'].get(name, 0):,}" for one in splits.values()))
        for name in sorted(train, key=lambda one: -train[one])[:MOST_SHOWN]
    ]
    if rows:
        more = f", the {MOST_SHOWN} largest of {len(train):,}" if len(train) > MOST_SHOWN else ""
        _table(f"rows of each class{more}", ("class", "in train", *splits), rows)


def _columns(told: Mapping[str, Any]) -> None:
    from tracking.inspection.figures import shower

    rows = []
    for column in told["columns"]:
        one, show = told["statistics"][column["name"]]["train"], shower(column["dtype"])
        spread, shape = one["spread"], f" {tuple(column['shape'])}" if column["shape"] else ""
        frequent = [f"{_short(name, 16)} {count:,}" for name, count in list(one["frequent"].items())[:3] if count]
        what = f"{one['measured']}: " if one["measured"] in ("characters", "tokens") else ""
        figures = what + "  ".join(map(show, spread["quartiles"][::2])) if spread else ", ".join(frequent)
        drawn = _spark(spread["bins"]) if spread else ""
        kind = f"{column['role']} {column['dtype']}{shape}"
        mean = show(spread["mean"]) if spread else ""
        rows.append((column["name"], kind, f"{one['missing']:,}", mean, figures, drawn))
    headings = ("column", "kind", "missing", "mean", "least, median, greatest, or most frequent", "in train")
    _table("columns", headings, rows)


def _learned(learned: Mapping[str, Any]) -> str:
    import json

    return _short(json.dumps(learned, ensure_ascii=False), 70) if learned else ""


def _bar(share: float) -> str:
    return "█" * max(1 if share else 0, round(24 * share))


def _spark(bins: Sequence[int]) -> str:
    """A histogram in one line of at most 14 letters."""
    width = -(-len(bins) // 14)
    sums = [sum(bins[at : at + width]) for at in range(0, len(bins), width)]
    return "".join("▁▂▃▄▅▆▇█"[min(7, 8 * one // max(1, max(sums)))] for one in sums)


def walked(result: Any) -> None:
    _table("feed", ("what", "found"), list(_plain(result).items()))


def checks(told: Mapping[str, Any]) -> None:
    rows = [("ok" if one["ok"] else "WRONG", one["name"], one["found"], one["mend"]) for one in told["checks"]]
    _table("doctor", ("", "check", "found", "what to do"), rows)


def combined(prepared: Any, trained: Any) -> dict[str, Any]:
    """What `run` tells: what was prepared and what was trained; the seconds are those of both."""
    both = {**(prepared.model_dump() if prepared else {}), **trained.model_dump()}
    return both | {"seconds": round((prepared.seconds if prepared else 0.0) + trained.seconds, 3)}


def _prepared(told: Mapping[str, Any]) -> list[Row]:
    rows = "  ".join(f"{split} {count:,}" for split, count in told["rows"].items())
    again = " (was there already)" if told["reused"] else ""
    more = [("put aside", f"{told['quarantined']:,} rows")] if told["quarantined"] else []
    return [("dataset", f"{told['dataset']}/{told['version']}{again}"), ("rows", rows), *more]


def _trained(told: Mapping[str, Any]) -> list[Row]:
    shown = {name: value for name, value in told["metrics"].items() if name.startswith("test/")}
    passed = {True: "reached", False: "MISSED", None: "none set"}[told["passed"]]
    wanted, unknown = _marks(told["marks"]), [name for name in told["marks"] if name not in told["metrics"]]
    nearest = [(f"no {name}", f"is measured; {parts.suggest(name, told['metrics'])}") for name in unknown]
    return [
        *((name, f"{value:.5g}") for name, value in shown.items()),
        ("pass mark", f"{wanted}: {passed}" if wanted else passed),
        *nearest,
        ("model", told["model_uri"]),
        ("run", told["run_id"]),
        ("seconds", told["seconds"]),
    ]


def _hint(told: Mapping[str, Any]) -> None:
    _print("look at it: millstream ui      measure it again: millstream evaluate " + told["model_uri"], markup=False)


def _marks(marks: Mapping[str, str]) -> str:
    return ", ".join(f"{metric} {mark}" for metric, mark in marks.items())


def _short(value: Any, most: int = 60) -> str:
    text = str(value)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _plain(result: Any) -> dict[str, Any]:
    return dict(result.model_dump() if hasattr(result, "model_dump") else result)


def _table(title: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left")
    for at, name in enumerate(columns):
        table.add_column(Text(printable(name)), no_wrap=at == 0)
    for row in rows:
        # Text: a label with brackets in it is shown, not read as markup
        table.add_row(*(Text(printable(str(cell))) for cell in row))
    _print(table)


def _print(what: Any, *, markup: bool = True) -> None:
    from rich.console import Console

    told = printable(what) if isinstance(what, str) else what
    Console().print(told, markup=markup, highlight=False, soft_wrap=isinstance(what, str))


def _mib(size: int) -> str:
    return f"{size / (1 << 20):.1f}"
