"""Terminal output for a dataset version or one of its rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from millstream.verbs.terminal.draw import bar, echo, histogram, short, table

MOST_SHOWN, MOST_ACROSS = 20, 8
"""Classes, and columns of a row, shown in the terminal; `--json` and `--html` have more."""


def inspected(report: Mapping[str, Any]) -> None:
    if "sample" in report:
        _lineage(report)
        return
    facts = [(name, report[name]) for name in ("path", "created", "seed")]
    table(f"{report['dataset']}/{report['version']}", ("what", "found"), [("from", report["source"]["origin"]), *facts])
    splits = [
        (k, f"{v['rows']:,}", f"{v['read']} of {v['shards']}", v["digest"][:12]) for k, v in report["splits"].items()
    ]
    table("splits", ("split", "rows", "shards read", "digest"), splits)
    _class_balance(report["splits"])
    _columns(report)
    steps = [
        (step["name"], f"{step['rows_in']:,}", f"{step['rows_out']:,}", _learned(step["learned"]))
        for step in report["steps"]
    ]
    table("steps", ("step", "rows in", "rows out", "learned on train"), steps)
    table(
        "checks",
        ("check", "ok", "figures"),
        [(check["name"], check["ok"], check["figures"]) for check in report["checks"]],
    )
    if report["quarantine"]:
        most = max(report["quarantine"].values())
        aside = [(reason, f"{count:,}", bar(count / most)) for reason, count in report["quarantine"].items()]
        table("quarantined", ("reason", "rows", ""), aside)
    if report["examples"]:
        names = list(report["examples"][0])[:MOST_ACROSS]
        table("rows", names, [[short(row.get(name), 40) for name in names] for row in report["examples"]])


def _lineage(report: Mapping[str, Any]) -> None:
    chain = [report["sample"], *report["ancestors"]]
    rows = [(name, *(_cell(name, row.get(name, "")) for row in chain)) for name in chain[0]]
    table("lineage", ("", "sample", *["parent"] * len(report["ancestors"])), rows)
    place = report["source"]["place"]
    where = ", ".join(f"{name} {value}" for name, value in place.items()) if place else report["source"]["origin"]
    echo(f"from {report['source']['name']}: {where}", markup=False)


def _cell(name: str, value: Any) -> str:
    """A value of a row; lineage is printed in full, with the parameters of its ops."""
    import json

    from millstream.tracking.dataset.manifest import LINEAGE

    if name not in LINEAGE:
        return short(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _class_balance(splits: Mapping[str, Any]) -> None:
    train = splits["train"]["class_counts"]
    most = max(train.values(), default=0)
    rows = [
        (name, bar(train[name] / max(1, most)), *(f"{one['class_counts'].get(name, 0):,}" for one in splits.values()))
        for name in sorted(train, key=lambda one: -train[one])[:MOST_SHOWN]
    ]
    if rows:
        more = f", the {MOST_SHOWN} largest of {len(train):,}" if len(train) > MOST_SHOWN else ""
        table(f"rows of each class{more}", ("class", "in train", *splits), rows)


def _columns(report: Mapping[str, Any]) -> None:
    from millstream.tracking.inspection.figures import shower

    rows = []
    for column in report["columns"]:
        facts, show = report["statistics"][column["name"]]["train"], shower(column["dtype"])
        spread, shape = facts["spread"], f" {tuple(column['shape'])}" if column["shape"] else ""
        frequent = [f"{short(name, 16)} {count:,}" for name, count in list(facts["frequent"].items())[:3] if count]
        what = f"{facts['measured']}: " if facts["measured"] in ("characters", "tokens") else ""
        figures = what + "  ".join(map(show, spread["quartiles"][::2])) if spread else ", ".join(frequent)
        drawn = histogram(spread["bins"]) if spread else ""
        kind = f"{column['role']} {column['dtype']}{shape}"
        mean = show(spread["mean"]) if spread else ""
        rows.append((column["name"], kind, f"{facts['missing']:,}", mean, figures, drawn))
    headings = ("column", "kind", "missing", "mean", "least, median, greatest, or most frequent", "in train")
    table("columns", headings, rows)


def _learned(learned: Mapping[str, Any]) -> str:
    import json

    return short(json.dumps(learned, ensure_ascii=False), 70) if learned else ""
