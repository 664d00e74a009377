"""Imputation of missing values."""

from __future__ import annotations

import pandas as pd

from millstream.tracking.dataset.records import Column
from millstream.tracking.serving import columns
from millstream.tracking.serving.column_change import Kind, Learned, put


def _fill(frame: pd.DataFrame, name: str, learned: Learned) -> pd.DataFrame:
    if learned["indicator"] is not None:
        frame = put(frame, learned["indicator"], frame[name].isna().astype("float32"))
    return put(frame, name, columns.filled(frame[name], learned["fill"]))


def _unfill(frame: pd.DataFrame, name: str, learned: Learned) -> pd.DataFrame:
    if learned["indicator"] not in frame:
        return frame
    given = frame[learned["indicator"]] == 0
    return put(frame, name, frame[name].astype(object).where(given, None)).drop(columns=learned["indicator"])


def _before_fill(column: Column, name: str, learned: Learned) -> tuple[Column, ...]:
    if column.name == learned["indicator"]:
        return ()
    return (column.model_copy(update={"dtype": learned["from"]}) if column.name == name else column,)


def _is_marked(learned: Learned) -> bool:
    """Whether an indicator column keeps which values were missing."""
    return learned["indicator"] is not None


KINDS = {"": Kind(_fill, _unfill, _before_fill, _is_marked)}
