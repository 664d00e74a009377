"""A registered model: raw columns in, predictions out, without Spark, Lightning or the task that was trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import pandas as pd

from millstream.tracking.dataset.manifest import Manifest
from millstream.tracking.dataset.records import Column
from millstream.tracking.dataset.signature import Signature
from millstream.tracking.serving import replay
from millstream.training.predictions._predictor import Base, Columns
from millstream.training.serving.arrays import Inputs, arrays

ROWS_AT_ONCE = 1024


class Runtime(Protocol):
    """What computes the predictions of prepared rows."""

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
        prepared = replay.replay(raw, self.manifest) if self.manifest is not None else raw
        pieces = [self._predict(piece) for piece in _pieces(prepared)]
        columns = list(self.runtime.outputs)
        return pd.concat(pieces, ignore_index=True)[columns] if pieces else pd.DataFrame(columns=columns)

    def _predict(self, prepared: pd.DataFrame) -> pd.DataFrame:
        found = self.runtime.predict(arrays(prepared, self.signature))
        return pd.DataFrame({name: list(values) for name, values in found.items()})


def _pieces(frame: pd.DataFrame) -> Iterator[pd.DataFrame]:
    for start in range(0, len(frame), ROWS_AT_ONCE):
        yield frame.iloc[start : start + ROWS_AT_ONCE]
