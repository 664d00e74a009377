"""Terminal output for recipes, checks, prepared data and the machine."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from millstream.verbs.terminal.draw import Row, echo, marks, mib, plain, table


def recipes(summaries: list[dict[str, Any]]) -> None:
    rows = [
        (
            recipe["name"],
            recipe["source"],
            recipe["task"],
            " ".join(recipe["budgets"]),
            marks(recipe["pass"]),
            recipe["about"],
        )
        for recipe in summaries
    ]
    table("recipes", ("recipe", "data", "task", "budgets", "pass mark", "about"), rows)


def faults(report: Mapping[str, Any]) -> None:
    if report["ok"]:
        echo("[green]no faults[/green]")
    for fault in report["faults"]:
        echo(f"{fault['where']}: {fault['message']}", markup=False)
    for doubt in report.get("doubts", ()):
        echo(f"look at: {doubt['where']}: {doubt['message']}", markup=False)


def pruned(result: Any) -> None:
    report = plain(result)
    verdict = "removed" if report["done"] else "would go"
    rows = [(version["dataset"], version["version"], mib(version["bytes"]), verdict) for version in report["goes"]]
    rows += [
        (version["dataset"], version["version"], mib(version["bytes"]), f"stays: {', '.join(version['why'])}")
        for version in report["stays"]
    ]
    table("versions", ("dataset", "version", "MiB", ""), rows)
    if report["goes"] and not report["done"]:
        echo(f"{mib(sum(version['bytes'] for version in report['goes']))} MiB; --yes removes them", markup=False)


def checked(report: Mapping[str, Any]) -> None:
    faults(report)
    if "fields" in report:
        rows = [(field["field"], field["value"], _meaning(field)) for field in report["fields"]]
        table("fields", ("field", "value", "meaning"), rows)


def listed_fields(fields: list[dict[str, Any]]) -> None:
    if fields and "kind" in fields[0]:
        table("parts", ("name", "kind"), [(one["name"], one["kind"]) for one in fields])
        echo("next: millstream fields NAME", markup=False)
        return
    rows = [
        (one["field"], one["type"], "required" if one["required"] else json.dumps(one["default"]), one["meaning"])
        for one in fields
    ]
    table("fields", ("field", "type", "default", "meaning"), rows)


def _meaning(field: Mapping[str, Any]) -> str:
    return f"{field['about']} ({' | '.join(field['choices'])})" if field["choices"] else str(field["about"])


def prepared(result: Any) -> None:
    report = plain(result)
    if report["dataset"]:
        table("prepared", ("what", "found"), rows_of(report))


def rows_of(report: Mapping[str, Any]) -> list[Row]:
    rows = "  ".join(f"{split} {count:,}" for split, count in report["rows"].items())
    again = " (was there already)" if report["reused"] else ""
    more = [("quarantined", f"{report['quarantined']:,} rows")] if report["quarantined"] else []
    return [("dataset", f"{report['dataset']}/{report['version']}{again}"), ("rows", rows), *more]


def scored(result: Any) -> None:
    report = plain(result)
    echo(f"{report['rows']:,} rows scored in {report['seconds']:.1f} s: {report['output']}", markup=False)


def walked(result: Any) -> None:
    table("feed", ("what", "found"), list(plain(result).items()))


def checks(report: Mapping[str, Any]) -> None:
    rows = [
        ("ok" if check["ok"] else "WRONG", check["name"], check["found"], check["mend"]) for check in report["checks"]
    ]
    table("doctor", ("", "check", "found", "what to do"), rows)


def drafted(report: Mapping[str, Any]) -> None:
    rows = [(one["what"], one["decided"], one["why"]) for one in report["decisions"]]
    table(f"{report['recipe']}: {report['task']} by {report['network']}", ("column", "read as", "why"), rows)
    for doubt in report["doubts"]:
        echo(f"look at: {doubt}", markup=False)
    recipe = shlex.quote(report["recipe"])
    echo(f"next: millstream check {recipe}\n      millstream run {recipe} --budget smoke", markup=False)


def served(result: Mapping[str, Any]) -> None:
    if "url" in result:
        echo(f"{result['model']} at {result['url']}, until Ctrl-C", markup=False)
    else:
        echo(f"docker build --tag model {result['folder']}", markup=False)


def exported(result: Any) -> None:
    report = plain(result)
    before = f"{report['transforms']} transforms of raw columns come before the graph: {report['beside']}"
    rows = [
        ("graph", report["path"]),
        *((f"input {name}", kind) for name, kind in report["inputs"].items()),
        *((f"output {name}", kind) for name, kind in report["outputs"].items()),
        *(
            (f"difference of {name}", f"{value:.1e} at most, over {report['rows']} rows")
            for name, value in report["differences"].items()
        ),
        ("before it", before if report["transforms"] else f"nothing; see {report['beside']}"),
    ]
    table("exported", ("what", "found"), rows)
