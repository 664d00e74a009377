"""Column transforms shared by preparation (Spark, through Arrow) and serving.

So preparation and serving cannot diverge; `tracking/serving/replay.py` knows which of them apply to a model's rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from millstream.tracking.serving import tokenizer
from millstream.tracking.serving.text_normalization import normal_form

UNKNOWN_CLASS = "(unknown)"
PADDING, UNKNOWN_TOKEN = tokenizer.PADDING, tokenizer.UNKNOWN


def category_numbers(values: pd.Series[Any], classes: Sequence[str], *, unknown: int) -> pd.Series[Any]:
    """Class index of each value, int64; `unknown` for a missing value, or one not in `classes`.

    Values that match a class exactly are kept: older models have classes that are not in normal form.
    """
    numbers = {name: at for at, name in enumerate(classes)}

    def number(value: Any) -> int:
        return numbers.get(value, numbers.get(as_text(value), unknown))

    codes, distinct = pd.factorize(values.to_numpy(dtype=object))
    if not all(isinstance(value, str) for value in distinct):  # 1 and True are one value there
        return values.map(number).astype("int64")
    # the last one is of missing values, whose code is -1
    table = np.array([*map(number, distinct), number(None)], np.int64)
    return pd.Series(table[codes], index=values.index, name=values.name)


def as_text(value: Any) -> str:
    """A category as text in normal form: integers without a decimal point, missing values as the unknown class."""
    if isinstance(value, str):
        return normal_form(value)
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return UNKNOWN_CLASS
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def token_numbers(texts: pd.Series[Any], vocabulary: Sequence[str], *, lower: bool, longest: int) -> pd.Series[Any]:
    """Character ids of each text, at most `longest`; 1 for a character not in the vocabulary."""
    numbers = {token: at for at, token in enumerate(vocabulary)}
    return texts.map(lambda text: [numbers.get(character, 1) for character in normal(text, lower=lower)[:longest]])


def normal(text: Any, *, lower: bool) -> str:
    """A text with white space stripped, lower-cased if `lower`; a missing one is empty."""
    return tokenizer.normal(text, lower=lower)


def filled(values: pd.Series[Any], fill: Any) -> pd.Series[Any]:
    """The values with missing ones replaced by `fill`; float64 if the fill is a float, int64 if it is an int."""
    if isinstance(fill, str):
        return values.astype(object).where(values.notna(), fill)
    if isinstance(fill, int):
        return values.astype("Int64").fillna(fill).astype("int64")
    return pd.to_numeric(values).astype("float64").fillna(fill)


def one_hot(values: pd.Series[Any], classes: Sequence[str]) -> list[bytes]:
    """One-hot float32 bytes (K,) per value; all zeros for a value not in `classes`."""
    numbers = category_numbers(values, classes, unknown=len(classes)).to_numpy()
    # the last row is for unknown values
    return [row.tobytes() for row in np.eye(len(classes) + 1, len(classes), dtype="<f4")[numbers]]


def tags(text: Any, separator: str) -> list[str]:
    """The tags that a text lists, each in normal form; none for a missing text."""
    return [tag for part in ("" if pd.isna(text) else str(text)).split(separator) if (tag := normal_form(part))]


def tag_vectors(texts: pd.Series[Any], classes: Sequence[str], separator: str) -> list[bytes]:
    """Multi-hot float32 bytes (K,) per text, 1 for each of its tags; tags not in `classes` are ignored.

    Classes are compared in normal form, since those of older models may not be.
    """
    forms = [normal_form(name) for name in classes]
    listed = [set(tags(text, separator)) for text in texts]
    return [np.array([form in found for form in forms], "<f4").tobytes() for found in listed]


def target_means(values: pd.Series[Any], means: Mapping[str, float], prior: float) -> pd.Series[Any]:
    """Target encoding: the target's mean in each value's category, float32; `prior` for a category without one."""
    return values.map(lambda value: means.get(value, means.get(as_text(value), prior))).astype("float32")


def scaled(values: NDArray[Any], figures: Mapping[str, float]) -> NDArray[np.float32]:
    """(x - offset) * factor, computed in double precision and rounded once."""
    return ((values.astype(np.float64) - figures["offset"]) * figures["factor"]).astype(np.float32)
