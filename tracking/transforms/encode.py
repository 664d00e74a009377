"""Category encodings (index, one-hot, tags, target mean) and character ids of texts, with their inverses."""

from __future__ import annotations

import numpy as np
import pandas as pd

from millstream.tracking.dataset.records import Column
from millstream.tracking.serving import columns
from millstream.tracking.serving.column_change import Kind, Learned, always, put
from millstream.tracking.transforms.tokenize import before_tokens


def _number(frame: pd.DataFrame, name: str, learned: Learned) -> pd.DataFrame:
    return put(frame, name, columns.category_numbers(frame[name], learned["classes"], unknown=0))


def _unnumber(frame: pd.DataFrame, name: str, learned: Learned) -> pd.DataFrame:
    return put(frame, name, [learned["classes"][at] for at in frame[name]])


def _hot(frame: pd.DataFrame, name: str, learned: Learned) -> pd.DataFrame:
    return put(frame, name, columns.one_hot(frame[name], learned["classes"]))


def _unhot(frame: pd.DataFrame, name: str, learned: Learned) -> pd.DataFrame:
    rows = [np.frombuffer(row, "<f4") for row in frame[name]]
    return put(
        frame, name, [learned["classes"][int(row.argmax())] if row.any() else columns.UNKNOWN_CLASS for row in rows]
    )


def _mark(frame: pd.DataFrame, name: str, learned: Learned) -> pd.DataFrame:
    return put(frame, name, columns.tag_vectors(frame[name], learned["classes"], learned["separator"]))


def _unmark(frame: pd.DataFrame, name: str, learned: Learned) -> pd.DataFrame:
    rows = [np.flatnonzero(np.frombuffer(row, "<f4")) for row in frame[name]]
    return put(frame, name, [learned["separator"].join(learned["classes"][at] for at in row) for row in rows])


def _mean(frame: pd.DataFrame, name: str, learned: Learned) -> pd.DataFrame:
    return put(frame, name, columns.target_means(frame[name], learned["means"], learned["prior"]))


def _unmean(frame: pd.DataFrame, name: str, learned: Learned) -> pd.DataFrame:
    categories, means = list(learned["means"]), np.array(list(learned["means"].values()))
    return put(frame, name, [categories[int(np.abs(means - value).argmin())] for value in frame[name]])


def _spell(frame: pd.DataFrame, name: str, learned: Learned) -> pd.DataFrame:
    options = {"lower": learned["lower"], "longest": learned["longest"]}
    return put(frame, learned["to"], columns.token_numbers(frame[name], learned["vocabulary"], **options)).drop(
        columns=name
    )


def _unspell(frame: pd.DataFrame, name: str, learned: Learned) -> pd.DataFrame:
    return put(frame, name, ["".join(learned["vocabulary"][at] for at in row) for row in frame[learned["to"]]])


def _before_category(column: Column, name: str, learned: Learned) -> tuple[Column, ...]:
    if column.name != name:
        return (column,)
    plain = {"layout": "scalar", "shape": (), "axes": "", "meaning": "category", "classes": None}
    return (column.model_copy(update={"dtype": learned["from"], **plain}),)


KINDS = {
    "index": Kind(_number, _unnumber, _before_category, always),
    "onehot": Kind(_hot, _unhot, _before_category, always),
    "tags": Kind(_mark, _unmark, _before_category),
    "target": Kind(_mean, _unmean, _before_category),
    "characters": Kind(_spell, _unspell, before_tokens),
}
