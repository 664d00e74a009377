"""Scaling of numbers: affine, or to quantiles."""

from __future__ import annotations

import pandas as pd

from millstream.tracking.dataset.records import Column
from millstream.tracking.serving import columns, quantiles
from millstream.tracking.serving.column_change import Kind, Learned, always, put


def _scale(frame: pd.DataFrame, name: str, learned: Learned) -> pd.DataFrame:
    return put(frame, name, columns.scaled(frame[name].to_numpy(), learned))


def _unscale(frame: pd.DataFrame, name: str, learned: Learned) -> pd.DataFrame:
    return put(frame, name, frame[name].astype("float64") / learned["factor"] + learned["offset"])


def _rank(frame: pd.DataFrame, name: str, learned: Learned) -> pd.DataFrame:
    return put(frame, name, quantiles.forward(frame[name].to_numpy(), learned["quantiles"], learned["law"]))


def _unrank(frame: pd.DataFrame, name: str, learned: Learned) -> pd.DataFrame:
    return put(frame, name, quantiles.backward(frame[name].to_numpy(), learned["quantiles"], learned["law"]))


def _before_scale(column: Column, name: str, learned: Learned) -> tuple[Column, ...]:
    is_scaled = column.name == name and column.layout == "scalar"
    return (column.model_copy(update={"dtype": "float64"}) if is_scaled else column,)


KINDS = {"": Kind(_scale, _unscale, _before_scale, always), "quantile": Kind(_rank, _unrank, _before_scale)}
