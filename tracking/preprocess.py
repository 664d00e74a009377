"""What a preparation did to the columns of a row, done again without Spark: how a served model reads raw rows.

The steps call the same functions through Arrow, so preparation and serving cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tracking.faults import BadData, Fault
from tracking.manifest import Column, Manifest, Step

UNKNOWN_CLASS = "(unknown)"
PADDING, UNKNOWN_TOKEN = "(pad)", "(unknown)"


def category_numbers(values: pd.Series[Any], classes: Sequence[str], *, unknown: int) -> pd.Series[Any]:
    """The number of each value's class, int64; `unknown` for a value that is none of `classes`, or missing."""
    numbers = {name: at for at, name in enumerate(classes)}
    return values.map(lambda value: numbers.get(as_text(value), unknown)).astype("int64")


def as_text(value: Any) -> str:
    """A category as text: whole numbers without a point, a missing value as the unknown class."""
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return UNKNOWN_CLASS
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def token_numbers(texts: pd.Series[Any], vocabulary: Sequence[str], *, lower: bool, longest: int) -> pd.Series[Any]:
    """The numbers of each text's characters, at most `longest` of them; 1 for a character not in the vocabulary."""
    numbers = {token: at for at, token in enumerate(vocabulary)}
    return texts.map(lambda text: [numbers.get(one, 1) for one in normal(text, lower=lower)[:longest]])


def normal(text: Any, *, lower: bool) -> str:
    """A text without white space at its ends, in lower case if so asked; a missing one is empty."""
    if not isinstance(text, str):
        return ""
    return text.strip().lower() if lower else text.strip()


def scaled(values: NDArray[Any], figures: Mapping[str, float]) -> NDArray[np.float32]:
    """(x - offset) * factor, computed in double precision and rounded once."""
    return ((values.astype(np.float64) - figures["offset"]) * figures["factor"]).astype(np.float32)


def raw_columns(manifest: Manifest) -> tuple[Column, ...]:
    """The input columns as they were before encode and scale: what a caller of the model provides."""
    before: dict[str, Column] = {}
    for column in manifest.columns:
        if column.role == "input":
            raw = _before(column, manifest.steps)
            before[raw.name] = raw
    return tuple(before.values())


def replay(raw: pd.DataFrame, manifest: Manifest) -> pd.DataFrame:
    """The prepared input columns of raw rows, in the same order. Extra columns are not looked at.

    Raises BadData that names every column that is missing or holds something else than it should.
    """
    expected = raw_columns(manifest)
    missing = [column.name for column in expected if column.name not in raw.columns]
    if missing:
        raise BadData.at("input", f"columns {missing} are missing; the model reads {[c.name for c in expected]}")
    frame = raw[[column.name for column in expected]].copy()
    BadData.unless_empty(_unreadable(frame, expected))
    for step in manifest.steps:
        if step.name == "encode":
            frame = _encode(frame, step)
        elif step.name == "scale":
            frame = _scale(frame, step, manifest)
    return frame


def restore(prepared: pd.DataFrame, manifest: Manifest) -> pd.DataFrame:
    """Raw rows that `replay` turns into `prepared` again (numbers up to rounding): examples of what the model reads."""
    frame = prepared.copy()
    for step in reversed(manifest.steps):
        if step.name == "scale":
            for name, figures in step.learned.items():
                if name in frame and manifest.column(name).layout == "scalar":
                    frame[name] = frame[name].astype("float64") / figures["factor"] + figures["offset"]
        elif step.name == "encode":
            for name, learned in step.learned.items():
                if learned["method"] == "index" and name in frame:
                    frame[name] = [learned["classes"][at] for at in frame[name]]
                elif learned["method"] == "characters" and learned["to"] in frame:
                    frame[name] = ["".join(learned["vocabulary"][at] for at in row) for row in frame[learned["to"]]]
    return frame[[column.name for column in raw_columns(manifest)]]


def _encode(frame: pd.DataFrame, step: Step) -> pd.DataFrame:
    for name, learned in step.learned.items():
        if name not in frame:
            continue  # a target, which a served row does not bring
        if learned["method"] == "index":
            frame[name] = category_numbers(frame[name], learned["classes"], unknown=0)
        else:
            options = {"lower": learned["lower"], "longest": learned["longest"]}
            frame[learned["to"]] = token_numbers(frame[name], learned["vocabulary"], **options)
            frame = frame.drop(columns=name)
    return frame


def _scale(frame: pd.DataFrame, step: Step, manifest: Manifest) -> pd.DataFrame:
    for name, figures in step.learned.items():
        if name in frame and manifest.column(name).layout == "scalar":
            frame[name] = scaled(frame[name].to_numpy(), figures)
    return frame


def _before(column: Column, steps: Sequence[Step]) -> Column:
    for step in reversed(steps):
        for name, learned in step.learned.items():
            if step.name == "scale" and name == column.name and column.layout == "scalar":
                column = column.model_copy(update={"dtype": "float64"})
            elif step.name == "encode" and learned["method"] == "index" and name == column.name:
                column = column.model_copy(update={"dtype": learned["from"], "classes": None})
            elif step.name == "encode" and learned["method"] == "characters" and learned["to"] == column.name:
                column = Column(name=name, dtype="string", role="input", meaning="text")
    return column


def _unreadable(frame: pd.DataFrame, expected: Sequence[Column]) -> list[Fault]:
    found = []
    for column in expected:
        values = frame[column.name]
        if column.layout != "scalar" or column.meaning != "number":
            continue
        numbers = pd.to_numeric(values, errors="coerce")
        wrong = np.flatnonzero(~np.isfinite(numbers.to_numpy(dtype=np.float64, na_value=np.nan)))
        if len(wrong):
            message = f"{values.iloc[wrong[0]]!r} in row {wrong[0]} is no finite number ({len(wrong)} such rows)"
            found.append(Fault(where=f"input column {column.name!r}", message=message))
        else:
            frame[column.name] = numbers
    return found
