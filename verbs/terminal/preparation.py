"""Terminal output for recipes, checks, prepared data and the machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from millstream.verbs.terminal.draw import Row, marks, mib, plain, table, tell


def recipes(found: list[dict[str, Any]]) -> None:
    rows = [
        (one["name"], one["source"], one["task"], " ".join(one["budgets"]), marks(one["pass"]), one["about"])
        for one in found
    ]
    table("recipes", ("recipe", "data", "task", "budgets", "pass mark", "about"), rows)


def faults(told: Mapping[str, Any]) -> None:
    if told["ok"]:
        tell("[green]no faults[/green]")
    for fault in told["faults"]:
        tell(f"{fault['where']}: {fault['message']}", markup=False)


def pruned(result: Any) -> None:
    told = plain(result)
    verdict = "removed" if told["done"] else "would go"
    rows = [(one["dataset"], one["version"], mib(one["bytes"]), verdict) for one in told["goes"]]
    rows += [
        (one["dataset"], one["version"], mib(one["bytes"]), f"stays: {', '.join(one['why'])}") for one in told["stays"]
    ]
    table("versions", ("dataset", "version", "MiB", ""), rows)
    if told["goes"] and not told["done"]:
        tell(f"{mib(sum(one['bytes'] for one in told['goes']))} MiB; --yes removes them", markup=False)


def checked(told: Mapping[str, Any]) -> None:
    faults(told)
    if "fields" in told:
        rows = [(one["field"], one["value"], _meaning(one)) for one in told["fields"]]
        table("fields", ("field", "value", "meaning"), rows)


def _meaning(field: Mapping[str, Any]) -> str:
    return f"{field['about']} ({' | '.join(field['choices'])})" if field["choices"] else str(field["about"])


def prepared(result: Any) -> None:
    told = plain(result)
    if told["dataset"]:
        table("prepared", ("what", "found"), rows_of(told))


def rows_of(told: Mapping[str, Any]) -> list[Row]:
    rows = "  ".join(f"{split} {count:,}" for split, count in told["rows"].items())
    again = " (was there already)" if told["reused"] else ""
    more = [("put aside", f"{told['quarantined']:,} rows")] if told["quarantined"] else []
    return [("dataset", f"{told['dataset']}/{told['version']}{again}"), ("rows", rows), *more]


def scored(result: Any) -> None:
    told = plain(result)
    tell(f"{told['rows']:,} rows scored in {told['seconds']:.1f} s: {told['output']}", markup=False)


def walked(result: Any) -> None:
    table("feed", ("what", "found"), list(plain(result).items()))


def checks(told: Mapping[str, Any]) -> None:
    rows = [("ok" if one["ok"] else "WRONG", one["name"], one["found"], one["mend"]) for one in told["checks"]]
    table("doctor", ("", "check", "found", "what to do"), rows)
