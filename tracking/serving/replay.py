"""Replays preparation steps on raw rows without Spark, for served models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from millstream.tracking.dataset.manifest import Manifest
from millstream.tracking.dataset.records import Column, Served, Step
from millstream.tracking.dataset.windows import Windows
from millstream.tracking.errors import BadData, Fault
from millstream.tracking.recipe import plugins
from millstream.tracking.serving.column_change import Kind, Learned
from millstream.tracking.serving.text_normalization import normal_form

if TYPE_CHECKING:
    from types import ModuleType

TRANSFORMS = "millstream.tracking.transforms"
DECLARED_SINCE: Mapping[str, Served] = {
    **dict.fromkeys(("validate", "filter", "split", "deduplicate", "decontaminate"), "same"),
    **dict.fromkeys(("rebalance", "augment", "mixup"), "same"),
    **dict.fromkeys(("impute", "encode", "tokenize", "scale", "resize"), "replayed"),
    **dict.fromkeys(("features", "rolling", "window", "patch", "coarsen"), "brought"),
}
"""How steps are served in manifests from before steps declared it."""


def faults(manifest: Manifest) -> list[Fault]:
    """Steps that serving does not know, so that a model trained after them could not process raw rows."""
    return [
        Fault(
            where=f"step {step.name}",
            message=f"{problem}, so no model can be served behind it; prepare the dataset again",
        )
        for step in manifest.steps
        if (problem := _unknown(step))
    ]


def modules(manifest: Manifest) -> list[str]:
    """The modules of the transforms that `replay` applies."""
    replayed = {step.name for step in manifest.steps if _served(step) == "replayed"}
    return [f"{TRANSFORMS}.{name}" for name in sorted(replayed)]


def brought(manifest: Manifest) -> dict[str, str]:
    """Raw columns that the caller must compute (they need other rows or unsupported operators), with their steps."""
    makers = {name: step.name for step in manifest.steps for name in _brought(step)}
    return {column.name: makers[column.name] for column in raw_columns(manifest) if column.name in makers}


def raw_columns(manifest: Manifest) -> tuple[Column, ...]:
    """Input columns before any step: what a caller of the model provides.

    Raises BadData for a step that serving does not know.
    """
    return path(manifest)[0]


def optional_columns(manifest: Manifest) -> frozenset[str]:
    """Raw columns that may be missing: those that `impute` fills, and categories that are nullable in the source.

    A missing category is the unknown class, as in preparation.
    """
    declared = manifest.source.config.get("columns")
    facts = declared.items() if isinstance(declared, dict) else ()
    nullable = {name for name, column in facts if isinstance(column, dict) and column.get("nullable")}
    expected = raw_columns(manifest)
    categories = {column.name for column in expected if column.meaning == "category"}
    return frozenset(_fillable(manifest, expected) | (nullable & categories))


def replay(raw: pd.DataFrame, manifest: Manifest) -> pd.DataFrame:
    """The prepared input columns of raw rows, in the same order. Extra columns are ignored.

    Columns of `optional_columns` may be missing. So may values of columns that preparation imputes, and of those
    that only features read. Raises BadData that names every missing or invalid column, and as `raw_columns` does.
    """
    expected, changes = path(manifest)
    optional = optional_columns(manifest)
    absent = [column.name for column in expected if column.name not in raw.columns]
    missing = [name for name in absent if name not in optional]
    if missing:
        raise BadData.at("input", f"columns {missing} are missing; the model reads {[c.name for c in expected]}")
    frame = raw.assign(**dict.fromkeys(absent))[[column.name for column in expected]].copy()
    BadData.unless_empty(_unreadable(frame, expected, _fillable(manifest, expected)))
    read = {name for change in changes if change.is_computed for name in change.reads}
    for column in expected:
        if column.name in read and column.meaning == "category" and column.role == "input":
            frame[column.name] = frame[column.name].map(_normal, na_action="ignore")
    for change in changes:
        if change.reads <= set(frame):  # otherwise a target, which served rows lack
            frame = change.kind.forward(frame, change.name, change.learned)
    return frame


def restore(prepared: pd.DataFrame, manifest: Manifest) -> pd.DataFrame:
    """Raw rows that `replay` maps to `prepared` again (numbers up to rounding): example inputs of the model.

    Lossy steps (out-of-fold means, resized images) are inverted approximately.
    """
    expected, changes = path(manifest)
    frame = prepared.copy()
    for change in reversed(changes):
        if change.learned.get("to", change.name) in frame:
            frame = change.kind.backward(frame, change.name, change.learned)
    return frame[[column.name for column in expected]]


class Change(NamedTuple):
    """A transform of the column `name`, as a step learned it."""

    name: str
    learned: Learned
    kind: Kind
    reads: frozenset[str]
    is_computed: bool = False
    """Whether it computes a new column from others."""


def path(manifest: Manifest) -> tuple[tuple[Column, ...], list[Change]]:
    """The raw columns, and all transforms that turn them into inputs, in step order."""
    BadData.unless_empty(faults(manifest))
    columns, changes = [column for column in manifest.columns if column.role == "input"], list[Change]()
    if (windows := Windows.of(manifest.steps)) is not None:
        columns = [windows.cut_column(column, windows.look_back) for column in columns]
    for step in reversed(manifest.steps):
        for change in reversed(_changes_of(step, manifest)):
            if change.is_computed and all(column.name != change.name for column in columns):
                continue  # unused by the served inputs
            columns = [one for column in columns for one in change.kind.before(column, change.name, change.learned)]
            changes.append(change)
    by_name: dict[str, Column] = {}
    for column in columns:
        if column.name not in by_name or column.dtype.startswith("int"):  # scale declares all numbers as floats
            by_name[column.name] = column
    return tuple(by_name.values()), changes[::-1]


def applied(manifest: Manifest) -> list[dict[str, Any]]:
    """The transforms of `replay` in their order, as plain values: step, column, and what the step learned of it."""
    expected, used = path(manifest)
    columns, found = {column.name for column in expected}, []
    for step in manifest.steps:
        for change in _changes_of(step, manifest):
            if change in used and change.reads <= columns:  # not of a target, which served rows lack
                found.append({"step": step.name, "column": change.name, "learned": dict(change.learned)})
                columns.add(change.name)
    return found


def _changes_of(step: Step, manifest: Manifest) -> list[Change]:
    if _served(step) != "replayed":
        return []
    computed = step.served.computed if step.served is not None else {}
    kinds: dict[str, Kind] = _transform(step.name).KINDS
    changes = [
        Change(name, facts.model_dump(), kinds[""], frozenset(facts.formula.inputs), is_computed=True)
        for name, facts in computed.items()
    ]
    for name, learned in step.learned.items():
        kind = kinds.get(learned.get("method", ""), kinds.get(""))
        if kind is not None and not _kept_raw(step, name, manifest):
            changes.append(Change(name, learned, kind, frozenset([name])))
    return changes


def _served(step: Step) -> Served | None:
    return step.served.does if step.served is not None else DECLARED_SINCE.get(step.name)


def _unknown(step: Step) -> str | None:
    """Why serving does not know a step; None if it does."""
    served = _served(step)
    if served is None:
        return "does not say how it is served"
    if served == "replayed" and step.name not in plugins.names(TRANSFORMS):
        return f"has to be replayed, and there is no {TRANSFORMS}.{step.name}"
    return None


def _transform(name: str) -> ModuleType:
    return plugins.find(TRANSFORMS, name)


def _brought(step: Step) -> Sequence[str]:
    if step.served is not None:
        return step.served.brought
    if step.name == "features":
        return list(step.config.get("add", {}))
    days, names = step.config.get("days", ()), ("count", "mean")
    return [step.config[name].replace("{days}", f"{one:g}") for one in days for name in names if name in step.config]


def _kept_raw(step: Step, name: str, manifest: Manifest) -> bool:
    """Whether scale left a column unchanged: a tensor or target, whose affine map the feed applies."""
    if step.name != "scale":
        return False
    return any(
        column.name == name and (column.layout == "tensor" or column.role == "target") for column in manifest.columns
    )


def _fillable(manifest: Manifest, expected: Sequence[Column]) -> set[str]:
    filled = {name for step in manifest.steps if step.name == "impute" for name in step.learned}
    return filled | {column.name for column in expected if column.role != "input"}


def _unreadable(frame: pd.DataFrame, expected: Sequence[Column], fillable: set[str]) -> list[Fault]:
    faults = []
    for column in expected:
        values = frame[column.name]
        # times are read by formulas alone, whatever their unit
        if column.layout != "scalar" or column.meaning != "number" or column.dtype.startswith("datetime64"):
            continue
        numbers = _numbers(values)
        is_good = np.isfinite(numbers.to_numpy(dtype=np.float64, na_value=np.nan))
        if column.name in fillable:
            is_good |= values.isna().to_numpy()
        wrong = np.flatnonzero(~is_good)
        if len(wrong):
            message = f"{values.iloc[wrong[0]]!r} in row {wrong[0]} is no finite number ({len(wrong)} such rows)"
            faults.append(Fault(where=f"input column {column.name!r}", message=message))
        else:
            frame[column.name] = numbers
    return faults


def _normal(value: Any) -> Any:
    return normal_form(value) if isinstance(value, str) else value


def _numbers(values: pd.Series[Any]) -> pd.Series[Any]:
    """Numeric values; integers stay integers, also with missing values; NaN for invalid ones."""
    held = pd.to_numeric(values[values.notna()], errors="coerce")
    if len(held) == len(values):
        return held
    return held.astype("Int64" if held.dtype.kind in "iu" else "float64").reindex(values.index)
