"""Terminal output for a run and a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from millstream.tracking.recipe import plugins
from millstream.verbs.terminal.draw import MOST_ROWS, Row, echo, marks, plain, table
from millstream.verbs.terminal.preparation import rows_of


def trained(result: Any) -> None:
    report = plain(result)
    table("trained", ("what", "found"), _trained(report))
    _hint(report)


def trained_or_found(result: Any) -> None:
    """Result of `train`; with `--find`, the value found."""
    report = plain(result)
    if "field" not in report:
        trained(report)
        return
    tried = report["tried"][:: max(1, len(report["tried"]) // MOST_ROWS)]
    table(report["field"], ("tried", "found"), [(f"{value:.4g}", f"{found:.4g}") for value, found in tried])
    echo(f"--set {report['field']}={report['value']:g}: {report['about']}", markup=False)


def run(result: Any) -> None:
    report = plain(result)
    trained_too = "run_id" in report  # False for a recipe that has only data
    rows = [*(rows_of(report) if report.get("dataset") else []), *(_trained(report) if trained_too else [])]
    table("done", ("what", "found"), rows)
    if trained_too:
        _hint(report)


def evaluated(result: Any) -> None:
    report = plain(result)
    table(
        f"{report['rows']:,} rows", ("metric", "value"), [(name, f"{v:.5g}") for name, v in report["metrics"].items()]
    )


def promoted(result: Any) -> None:
    report = plain(result)
    before = f", which version {report['before']} was" if report["before"] else ""
    echo(f"version {report['version']} of {report['model']} is {report['alias']}{before}", markup=False)


def combined(prepared: Any, trained: Any) -> dict[str, Any]:
    """Result of `run`: the fields of both stages (None for a skipped one); `seconds` is their sum."""
    done = {"prepare_seconds": prepared, "train_seconds": trained}
    each = {name: result.seconds if result else 0.0 for name, result in done.items()}
    both = {name: value for result in done.values() if result for name, value in result.model_dump().items()}
    return both | each | {"seconds": round(sum(each.values()), 3)}


def _trained(report: Mapping[str, Any]) -> list[Row]:
    shown = {name: value for name, value in report["metrics"].items() if name.startswith("test/")}
    passed = {True: "reached", False: "MISSED", None: "none set"}[report["passed"]]
    wanted, unknown = marks(report["marks"]), [name for name in report["marks"] if name not in report["metrics"]]
    nearest = [(f"no {name}", f"is measured; {plugins.suggest(name, report['metrics'])}") for name in unknown]
    return [
        *((name, f"{value:.5g}") for name, value in shown.items()),
        ("pass mark", f"{wanted}: {passed}" if wanted else passed),
        *nearest,
        ("model", report["model_uri"]),
        ("run", report["run_id"]),
        ("seconds", report["seconds"]),
    ]


def _hint(report: Mapping[str, Any]) -> None:
    echo("look at it: millstream ui      measure it again: millstream evaluate " + report["model_uri"], markup=False)
