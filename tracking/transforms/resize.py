"""Image resizing."""

from __future__ import annotations

import pandas as pd

from millstream.tracking.dataset.records import Column
from millstream.tracking.serving import resampling
from millstream.tracking.serving.column_change import Kind, Learned, put


def _resize(frame: pd.DataFrame, name: str, learned: Learned) -> pd.DataFrame:
    return put(frame, name, [resampling.resized(content, learned) for content in frame[name]])


def _unresize(frame: pd.DataFrame, name: str, learned: Learned) -> pd.DataFrame:
    back = {**learned, "from_shape": learned["shape"], "shape": learned["from_shape"]}
    return put(frame, name, [resampling.resized(content, back) for content in frame[name]])


def _before_resize(column: Column, name: str, learned: Learned) -> tuple[Column, ...]:
    return (column.model_copy(update={"shape": tuple(learned["from_shape"])}) if column.name == name else column,)


KINDS = {"": Kind(_resize, _unresize, _before_resize)}
