"""A registered model: raw columns in, predictions out, without Spark, Lightning or the task that was trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import pandas as pd

from millstream.tracking.dataset.manifest import Manifest
from millstream.tracking.dataset.records import Column
from millstream.tracking.dataset.signature import Signature
from millstream.tracking.serving import replay
from millstream.training.predictions._predictor import Base, Columns
from millstream.training.serving.arrays import Inputs, arrays

ROWS_AT_ONCE = 1024
"""Of a network: its activations stay in the cache."""
ROWS_AT_ONCE_OF_ESTIMATORS = 10_000
"""As many as Spark passes at once."""


class Runtime(Protocol):
    """What computes the predictions of prepared rows."""

    @property
    def rows_at_once(self) -> int: ...

    @property
    def outputs(self) -> Mapping[str, str]: ...

    @property
    def generated(self) -> Mapping[str, str]: ...

    def predict(self, inputs: Inputs) -> Columns: ...

    def generate(self, count: int, seed: int) -> Columns: ...


@dataclass(frozen=True)
class Trained:
    """A trained network or estimator (`part`), with the predictor of its task."""

    part: Any
    predictor: Base

    @property
    def rows_at_once(self) -> int:
        return ROWS_AT_ONCE_OF_ESTIMATORS

    @property
    def outputs(self) -> Mapping[str, str]:
        return self.predictor.outputs

    @property
    def generated(self) -> Mapping[str, str]:
        return self.predictor.generated

    def predict(self, inputs: Inputs) -> Columns:
        return self.predictor.predict(self.part, *inputs)

    def generate(self, count: int, seed: int) -> Columns:
        return self.predictor.generate(self.part, count, seed)


@dataclass(frozen=True)
class Model:
    """A runtime, with the manifest that prepares raw rows; None for a model that was trained in an environment."""

    runtime: Runtime
    signature: Signature
    manifest: Manifest | None

    @cached_property
    def raw_columns(self) -> tuple[Column, ...]:
        """Input columns of `predict`, as before any preparation."""
        if self.manifest is not None:
            return replay.raw_columns(self.manifest)
        return tuple(column for field in self.signature.inputs for column in field.columns)

    @property
    def optional(self) -> frozenset[str]:
        """Raw columns that may be missing."""
        return replay.optional_columns(self.manifest) if self.manifest is not None else frozenset()

    @property
    def brought(self) -> dict[str, str]:
        """Raw columns that the caller must compute, since serving cannot, with the steps that computed them."""
        return replay.brought(self.manifest) if self.manifest is not None else {}

    def get_raw_model(self) -> Model:
        """This model without MLflow's wrapper, whose signature does not accept 64-bit integers with missing values."""
        return self

    def predict(self, raw: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """One row of `outputs` per raw row, in their order; extra columns are ignored.

        With the `params` `generate` and `seed`, a generative model returns that many samples instead: the columns of
        `generated`. Raises BadData naming every column that is missing or of another shape.
        """
        given = params or {}
        if self.runtime.generated and given.get("generate"):
            drawn = self.runtime.generate(int(given["generate"]), int(given.get("seed", 0)))
            return pd.DataFrame({name: list(values) for name, values in drawn.items()})
        found = self.predict_columns(raw)
        columns = list(self.runtime.outputs)
        return pd.DataFrame({name: list(found[name]) for name in columns} if found else {}, columns=columns)

    def predict_columns(self, raw: pd.DataFrame) -> Columns:
        """As `predict`, by column; numbers in arrays, (B, n) for a list of n numbers a row. Empty without rows."""
        prepared = replay.replay(raw, self.manifest) if self.manifest is not None else raw
        pieces = [
            self.runtime.predict(arrays(piece, self.signature))
            for piece in _pieces(prepared, self.runtime.rows_at_once)
        ]
        return {name: _joined([piece[name] for piece in pieces]) for name in (self.runtime.outputs if pieces else ())}


def _joined(parts: list[Any]) -> Any:
    if len(parts) == 1:
        return parts[0]
    if all(isinstance(part, np.ndarray) for part in parts):
        return np.concatenate(parts)
    return [value for part in parts for value in part]


def _pieces(frame: pd.DataFrame, rows: int) -> Iterator[pd.DataFrame]:
    for start in range(0, len(frame), rows):
        yield frame.iloc[start : start + rows]
