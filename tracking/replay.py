"""What a preparation did to the columns of a row, done again without Spark: how a served model reads raw rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tracking import pictures, preprocess, quantiles, tokens
from tracking.faults import BadData, Fault
from tracking.manifest import Column, Manifest, Step


def raw_columns(manifest: Manifest) -> tuple[Column, ...]:
    """The input columns as they were before any step: what a caller of the model provides."""
    before: dict[str, Column] = {}
    for column in manifest.columns:
        raw = _before(column, manifest.steps) if column.role == "input" else None
        if raw is not None:
            before[raw.name] = raw
    return tuple(before.values())


def optional_columns(manifest: Manifest) -> frozenset[str]:
    """The raw columns that may be missing: those that `impute` fills, and categories that the source lets be missing.

    A missing category is the unknown one, as it was in the preparation.
    """
    declared = manifest.source.config.get("columns")
    facts = declared.items() if isinstance(declared, dict) else ()
    nullable = {name for name, column in facts if isinstance(column, dict) and column.get("nullable")}
    categories = {column.name for column in raw_columns(manifest) if column.meaning == "category"}
    return frozenset(_fillable(manifest) | (nullable & categories))


def replay(raw: pd.DataFrame, manifest: Manifest) -> pd.DataFrame:
    """The prepared input columns of raw rows, in the same order. Extra columns are not looked at.

    Columns of `optional_columns` may be missing, and so may values of those that the preparation has filled.
    Raises BadData that names every column that is missing or holds something else than it should.
    """
    expected, optional = raw_columns(manifest), optional_columns(manifest)
    absent = [column.name for column in expected if column.name not in raw.columns]
    missing = [name for name in absent if name not in optional]
    if missing:
        raise BadData.at("input", f"columns {missing} are missing; the model reads {[c.name for c in expected]}")
    frame = raw.assign(**dict.fromkeys(absent))[[column.name for column in expected]].copy()
    BadData.unless_empty(_unreadable(frame, expected, _fillable(manifest)))
    for name, learned, kind in _changes(manifest):
        if name in frame:  # else a target, which a served row does not bring
            frame = kind.forward(frame, name, learned)
    return frame


def restore(prepared: pd.DataFrame, manifest: Manifest) -> pd.DataFrame:
    """Raw rows that `replay` turns into `prepared` again (numbers up to rounding): examples of what the model reads.

    Of what cannot be taken back (out-of-fold means, resized pictures) it is the nearest that can.
    """
    frame = prepared.copy()
    for name, learned, kind in reversed(_changes(manifest)):
        if learned.get("to", name) in frame:
            frame = kind.backward(frame, name, learned)
    return frame[[column.name for column in raw_columns(manifest)]]


Learned = dict[str, Any]


@dataclass(frozen=True)
class _Kind:
    """One way to change a column, told to rows (forward, backward) and to the column itself (before).

    `before` gives the column as it was, or None for one that the change made and that nobody provides.
    """

    forward: Callable[[pd.DataFrame, str, Learned], pd.DataFrame]
    backward: Callable[[pd.DataFrame, str, Learned], pd.DataFrame]
    before: Callable[[Column, str, Learned], Column | None]


def _changes(manifest: Manifest) -> list[tuple[str, Learned, _Kind]]:
    """Every change of an input column that serving has to do again, in the order of the steps."""
    found = []
    for step in manifest.steps:
        kinds = _KINDS.get(step.name, {})
        for name, learned in step.learned.items() if kinds else ():
            kind = kinds.get(learned.get("method", ""), kinds.get(""))
            if kind is not None and not _kept_raw(step, name, manifest):
                found.append((name, learned, kind))
    return found


def _kept_raw(step: Step, name: str, manifest: Manifest) -> bool:
    """Whether scale left a column as it was: a tensor or target, whose affine map the feed applies."""
    if step.name != "scale":
        return False
    return any(one.name == name and (one.layout == "tensor" or one.role == "target") for one in manifest.columns)


def _before(column: Column, steps: Sequence[Step]) -> Column | None:
    found: Column | None = column
    for step in reversed(steps):
        kinds = _KINDS.get(step.name, {})
        for name, learned in step.learned.items() if kinds else ():
            kind = kinds.get(learned.get("method", ""), kinds.get(""))
            if kind is not None and found is not None:
                found = kind.before(found, name, learned)
    return found


def _fillable(manifest: Manifest) -> set[str]:
    return {name for step in manifest.steps if step.name == "impute" for name in step.learned}


def _of(frame: pd.DataFrame, name: str, values: Any) -> pd.DataFrame:
    return frame.assign(**{name: values})


def _fill(frame: pd.DataFrame, name: str, learned: Learned) -> pd.DataFrame:
    if learned["indicator"] is not None:
        frame = _of(frame, learned["indicator"], frame[name].isna().astype("float32"))
    return _of(frame, name, preprocess.filled(frame[name], learned["fill"]))


def _unfill(frame: pd.DataFrame, name: str, learned: Learned) -> pd.DataFrame:
    if learned["indicator"] not in frame:
        return frame
    given = frame[learned["indicator"]] == 0
    return _of(frame, name, frame[name].astype(object).where(given, None)).drop(columns=learned["indicator"])


def _before_fill(column: Column, name: str, learned: Learned) -> Column | None:
    if column.name == learned["indicator"]:
        return None
    return column.model_copy(update={"dtype": learned["from"]}) if column.name == name else column


def _number(frame: pd.DataFrame, name: str, learned: Learned) -> pd.DataFrame:
    return _of(frame, name, preprocess.category_numbers(frame[name], learned["classes"], unknown=0))


def _unnumber(frame: pd.DataFrame, name: str, learned: Learned) -> pd.DataFrame:
    return _of(frame, name, [learned["classes"][at] for at in frame[name]])


def _hot(frame: pd.DataFrame, name: str, learned: Learned) -> pd.DataFrame:
    return _of(frame, name, preprocess.one_hot(frame[name], learned["classes"]))


def _unhot(frame: pd.DataFrame, name: str, learned: Learned) -> pd.DataFrame:
    rows = [np.frombuffer(row, "<f4") for row in frame[name]]
    return _of(
        frame, name, [learned["classes"][int(row.argmax())] if row.any() else preprocess.UNKNOWN_CLASS for row in rows]
    )


def _mark(frame: pd.DataFrame, name: str, learned: Learned) -> pd.DataFrame:
    return _of(frame, name, preprocess.tag_vectors(frame[name], learned["classes"], learned["separator"]))


def _unmark(frame: pd.DataFrame, name: str, learned: Learned) -> pd.DataFrame:
    rows = [np.flatnonzero(np.frombuffer(row, "<f4")) for row in frame[name]]
    return _of(frame, name, [learned["separator"].join(learned["classes"][at] for at in row) for row in rows])


def _mean(frame: pd.DataFrame, name: str, learned: Learned) -> pd.DataFrame:
    return _of(frame, name, preprocess.target_means(frame[name], learned["means"], learned["prior"]))


def _unmean(frame: pd.DataFrame, name: str, learned: Learned) -> pd.DataFrame:
    categories, means = list(learned["means"]), np.array(list(learned["means"].values()))
    return _of(frame, name, [categories[int(np.abs(means - value).argmin())] for value in frame[name]])


def _before_category(column: Column, name: str, learned: Learned) -> Column:
    if column.name != name:
        return column
    plain = {"layout": "scalar", "shape": (), "axes": "", "meaning": "category", "classes": None}
    return column.model_copy(update={"dtype": learned["from"], **plain})


def _spell(frame: pd.DataFrame, name: str, learned: Learned) -> pd.DataFrame:
    options = {"lower": learned["lower"], "longest": learned["longest"]}
    return _of(frame, learned["to"], preprocess.token_numbers(frame[name], learned["vocabulary"], **options)).drop(
        columns=name
    )


def _unspell(frame: pd.DataFrame, name: str, learned: Learned) -> pd.DataFrame:
    return _of(frame, name, ["".join(learned["vocabulary"][at] for at in row) for row in frame[learned["to"]]])


def _tokenize(frame: pd.DataFrame, name: str, learned: Learned) -> pd.DataFrame:
    reader = tokens.Reader.of(learned)
    return _of(frame, learned["to"], [reader.numbers(text) for text in frame[name]]).drop(columns=name)


def _untokenize(frame: pd.DataFrame, name: str, learned: Learned) -> pd.DataFrame:
    reader = tokens.Reader.of(learned)
    return _of(frame, name, [reader.text(row) for row in frame[learned["to"]]])


def _before_tokens(column: Column, name: str, learned: Learned) -> Column:
    if column.name != learned["to"]:
        return column
    return Column(name=name, dtype="string", role="input", meaning="text")


def _scale(frame: pd.DataFrame, name: str, learned: Learned) -> pd.DataFrame:
    return _of(frame, name, preprocess.scaled(frame[name].to_numpy(), learned))


def _unscale(frame: pd.DataFrame, name: str, learned: Learned) -> pd.DataFrame:
    return _of(frame, name, frame[name].astype("float64") / learned["factor"] + learned["offset"])


def _rank(frame: pd.DataFrame, name: str, learned: Learned) -> pd.DataFrame:
    return _of(frame, name, quantiles.forward(frame[name].to_numpy(), learned["quantiles"], learned["law"]))


def _unrank(frame: pd.DataFrame, name: str, learned: Learned) -> pd.DataFrame:
    return _of(frame, name, quantiles.backward(frame[name].to_numpy(), learned["quantiles"], learned["law"]))


def _before_scale(column: Column, name: str, learned: Learned) -> Column:
    is_scaled = column.name == name and column.layout == "scalar"
    return column.model_copy(update={"dtype": "float64"}) if is_scaled else column


def _resize(frame: pd.DataFrame, name: str, learned: Learned) -> pd.DataFrame:
    return _of(frame, name, [pictures.resized(content, learned) for content in frame[name]])


def _unresize(frame: pd.DataFrame, name: str, learned: Learned) -> pd.DataFrame:
    back = {**learned, "from_shape": learned["shape"], "shape": learned["from_shape"]}
    return _of(frame, name, [pictures.resized(content, back) for content in frame[name]])


def _before_resize(column: Column, name: str, learned: Learned) -> Column:
    return column.model_copy(update={"shape": tuple(learned["from_shape"])}) if column.name == name else column


_KINDS: dict[str, dict[str, _Kind]] = {
    "impute": {"": _Kind(_fill, _unfill, _before_fill)},
    "encode": {
        "index": _Kind(_number, _unnumber, _before_category),
        "onehot": _Kind(_hot, _unhot, _before_category),
        "tags": _Kind(_mark, _unmark, _before_category),
        "target": _Kind(_mean, _unmean, _before_category),
        "characters": _Kind(_spell, _unspell, _before_tokens),
    },
    "tokenize": {"": _Kind(_tokenize, _untokenize, _before_tokens)},
    "scale": {"": _Kind(_scale, _unscale, _before_scale), "quantile": _Kind(_rank, _unrank, _before_scale)},
    "resize": {"": _Kind(_resize, _unresize, _before_resize)},
}
"""By the step's name and the method that it learned; "" for steps that know only one, and where none is told."""


def _unreadable(frame: pd.DataFrame, expected: Sequence[Column], fillable: set[str]) -> list[Fault]:
    found = []
    for column in expected:
        values = frame[column.name]
        if column.layout != "scalar" or column.meaning != "number":
            continue
        numbers = pd.to_numeric(values, errors="coerce")
        is_good = np.isfinite(numbers.to_numpy(dtype=np.float64, na_value=np.nan))
        if column.name in fillable:
            is_good |= values.isna().to_numpy()
        wrong = np.flatnonzero(~is_good)
        if len(wrong):
            message = f"{values.iloc[wrong[0]]!r} in row {wrong[0]} is no finite number ({len(wrong)} such rows)"
            found.append(Fault(where=f"input column {column.name!r}", message=message))
        else:
            frame[column.name] = numbers
    return found
