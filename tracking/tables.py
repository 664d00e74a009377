"""What a person sees of a result in the terminal; rich is loaded when there is something to show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Row = Sequence[Any]


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


def prepared(result: Any) -> None:
    told = _plain(result)
    if told["dataset"]:
        _table("prepared", ("what", "found"), _prepared(told))


def trained(result: Any) -> None:
    told = _plain(result)
    _table("trained", ("what", "found"), _trained(told))
    _hint(told)


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


def scored(result: Any) -> None:
    told = _plain(result)
    _print(f"{told['rows']:,} rows scored in {told['seconds']:.1f} s: {told['output']}", markup=False)


def inspected(told: Mapping[str, Any]) -> None:
    if "sample" in told:
        chain = [told["sample"], *told["ancestors"]]
        rows = [(name, *(_short(one.get(name)) for one in chain)) for name in chain[0]]
        _table("lineage", ("", "sample", *["parent"] * len(told["ancestors"])), rows)
        _print(f"from {told['source']['name']}: {told['source']['origin']}", markup=False)
        return
    _table(
        f"{told['dataset']}/{told['version']}", ("what", "found"), [(k, told[k]) for k in ("path", "created", "seed")]
    )
    columns = [
        (one["name"], one["role"], one["dtype"], one["layout"], one.get("shape", ""), one["meaning"])
        for one in told["columns"]
    ]
    _table("columns", ("name", "role", "dtype", "layout", "shape", "meaning"), columns)
    splits = [
        (k, f"{v['rows']:,}", v["shards"], v["digest"][:12], _counts(v["class_counts"]))
        for k, v in told["splits"].items()
    ]
    _table("splits", ("split", "rows", "shards", "digest", "rows of each class"), splits)
    steps = [(one["name"], f"{one['rows_in']:,}", f"{one['rows_out']:,}", one["seconds"]) for one in told["steps"]]
    _table("steps", ("step", "rows in", "rows out", "seconds"), steps)
    _table("checks", ("check", "ok", "figures"), [(one["name"], one["ok"], one["figures"]) for one in told["checks"]])
    if told["quarantine"]:
        _table("quarantine", ("reason", "rows"), list(told["quarantine"].items()))
    if told["examples"]:
        names = list(told["examples"][0])
        _table("first rows", names, [[_short(row.get(name)) for name in names] for row in told["examples"]])


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
    wanted = _marks(told["marks"])
    return [
        *((name, f"{value:.5g}") for name, value in shown.items()),
        ("pass mark", f"{wanted}: {passed}" if wanted else passed),
        ("model", told["model_uri"]),
        ("run", told["run_id"]),
        ("seconds", told["seconds"]),
    ]


def _hint(told: Mapping[str, Any]) -> None:
    _print("look at it: millstream ui      measure it again: millstream evaluate " + told["model_uri"], markup=False)


def _marks(marks: Mapping[str, str]) -> str:
    return ", ".join(f"{metric} {mark}" for metric, mark in marks.items())


def _counts(counts: Mapping[str, int]) -> str:
    return "  ".join(f"{name} {count:,}" for name, count in list(counts.items())[:12])


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _plain(result: Any) -> dict[str, Any]:
    return dict(result.model_dump() if hasattr(result, "model_dump") else result)


def _table(title: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left")
    for at, name in enumerate(columns):
        table.add_column(name, no_wrap=at == 0)
    for row in rows:
        # Text: a label with brackets in it is shown, not read as markup
        table.add_row(*(Text(str(cell)) for cell in row))
    _print(table)


def _print(what: Any, *, markup: bool = True) -> None:
    from rich.console import Console

    Console().print(what, markup=markup, highlight=False, soft_wrap=isinstance(what, str))


def _mib(size: int) -> str:
    return f"{size / (1 << 20):.1f}"
