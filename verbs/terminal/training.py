"""Terminal output for a run and a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from millstream.tracking.recipe import plugins
from millstream.verbs.terminal.draw import MOST_ROWS, Row, marks, plain, table, tell
from millstream.verbs.terminal.preparation import rows_of


def trained(result: Any) -> None:
    told = plain(result)
    table("trained", ("what", "found"), _trained(told))
    _hint(told)


def trained_or_found(result: Any) -> None:
    """Result of `train`; with `--find`, the value found."""
    told = plain(result)
    if "field" not in told:
        trained(told)
        return
    tried = told["tried"][:: max(1, len(told["tried"]) // MOST_ROWS)]
    table(told["field"], ("tried", "found"), [(f"{value:.4g}", f"{found:.4g}") for value, found in tried])
    tell(f"--set {told['field']}={told['value']:g}: {told['about']}", markup=False)


def run(result: Any) -> None:
    told = plain(result)
    trained_too = "run_id" in told  # False for a recipe that has only data
    rows = [*(rows_of(told) if told.get("dataset") else []), *(_trained(told) if trained_too else [])]
    table("done", ("what", "found"), rows)
    if trained_too:
        _hint(told)


def evaluated(result: Any) -> None:
    told = plain(result)
    table(f"{told['rows']:,} rows", ("metric", "value"), [(name, f"{v:.5g}") for name, v in told["metrics"].items()])


def combined(prepared: Any, trained: Any) -> dict[str, Any]:
    """Result of `run`: the fields of both stages (None for a skipped one); `seconds` is their sum."""
    done = {"prepare_seconds": prepared, "train_seconds": trained}
    each = {name: one.seconds if one else 0.0 for name, one in done.items()}
    both = {name: value for one in done.values() if one for name, value in one.model_dump().items()}
    return both | each | {"seconds": round(sum(each.values()), 3)}


def _trained(told: Mapping[str, Any]) -> list[Row]:
    shown = {name: value for name, value in told["metrics"].items() if name.startswith("test/")}
    passed = {True: "reached", False: "MISSED", None: "none set"}[told["passed"]]
    wanted, unknown = marks(told["marks"]), [name for name in told["marks"] if name not in told["metrics"]]
    nearest = [(f"no {name}", f"is measured; {plugins.suggest(name, told['metrics'])}") for name in unknown]
    return [
        *((name, f"{value:.5g}") for name, value in shown.items()),
        ("pass mark", f"{wanted}: {passed}" if wanted else passed),
        *nearest,
        ("model", told["model_uri"]),
        ("run", told["run_id"]),
        ("seconds", told["seconds"]),
    ]


def _hint(told: Mapping[str, Any]) -> None:
    tell("look at it: millstream ui      measure it again: millstream evaluate " + told["model_uri"], markup=False)
