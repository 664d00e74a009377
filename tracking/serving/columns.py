"""What a preparation does to the values of a column, for Spark, through Arrow, and for a served model alike.

So preparation and serving cannot drift apart; `tracking/serving/replay.py` knows which of
them a model's rows go through.
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
    """The number of each value's class, int64; `unknown` for a value that is none of `classes`, or missing.

    A value that is a class as it stands is that one: models from before there was a normal form know others, too.
    """
    numbers = {name: at for at, name in enumerate(classes)}
    return values.map(lambda value: numbers.get(value, numbers.get(as_text(value), unknown))).astype("int64")


def as_text(value: Any) -> str:
    """A category as text in its normal form: whole numbers without a point, a missing value as the unknown class."""
    if isinstance(value, str):
        return normal_form(value)
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return UNKNOWN_CLASS
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def token_numbers(texts: pd.Series[Any], vocabulary: Sequence[str], *, lower: bool, longest: int) -> pd.Series[Any]:
    """The numbers of each text's characters, at most `longest` of them; 1 for a character not in the vocabulary."""
    numbers = {token: at for at, token in enumerate(vocabulary)}
    return texts.map(lambda text: [numbers.get(one, 1) for one in normal(text, lower=lower)[:longest]])


def normal(text: Any, *, lower: bool) -> str:
    """A text without white space at its ends, in lower case if so asked; a missing one is empty."""
    return tokenizer.normal(text, lower=lower)


def filled(values: pd.Series[Any], fill: Any) -> pd.Series[Any]:
    """The values, with `fill` in the place of missing ones; numbers as float64 when the fill is a float, else whole."""
    if isinstance(fill, str):
        return values.astype(object).where(values.notna(), fill)
    if isinstance(fill, int):
        return values.astype("Int64").fillna(fill).astype("int64")
    return pd.to_numeric(values).astype("float64").fillna(fill)


def one_hot(values: pd.Series[Any], classes: Sequence[str]) -> list[bytes]:
    """For each value float32 bytes (K,), 1 at its class; nothing but zeros for a value that is none of `classes`."""
    numbers = category_numbers(values, classes, unknown=len(classes)).to_numpy()
    # the last row is the unknown one
    return [row.tobytes() for row in np.eye(len(classes) + 1, len(classes), dtype="<f4")[numbers]]


def tags(text: Any, separator: str) -> list[str]:
    """The tags that a text lists, each in its normal form; of a missing one none."""
    return [tag for part in ("" if pd.isna(text) else str(text)).split(separator) if (tag := normal_form(part))]


def tag_vectors(texts: pd.Series[Any], classes: Sequence[str], separator: str) -> list[bytes]:
    """For each text float32 bytes (K,), 1 at each of its tags; one that is none of `classes` is not there.

    Classes are looked up by their normal forms: models from before there was one know others, too.
    """
    forms = [normal_form(name) for name in classes]
    listed = [set(tags(text, separator)) for text in texts]
    return [np.array([form in found for form in forms], "<f4").tobytes() for found in listed]


def target_means(values: pd.Series[Any], means: Mapping[str, float], prior: float) -> pd.Series[Any]:
    """The target's mean in each value's category, float32; `prior` for a category without one."""
    return values.map(lambda value: means.get(value, means.get(as_text(value), prior))).astype("float32")


def scaled(values: NDArray[Any], figures: Mapping[str, float]) -> NDArray[np.float32]:
    """(x - offset) * factor, computed in double precision and rounded once."""
    return ((values.astype(np.float64) - figures["offset"]) * figures["factor"]).astype(np.float32)
