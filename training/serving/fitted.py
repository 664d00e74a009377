"""Predictions by an estimator, without torch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from millstream.tracking.errors import BadData
from millstream.training.estimator import Estimator
from millstream.training.predictions._predictor import Base, Columns
from millstream.training.serving.arrays import Inputs

STATE = "estimator.bin"


@dataclass(frozen=True)
class Fitted:
    """A fitted estimator, with the predictor of its task."""

    estimator: Estimator
    predictor: Base

    @property
    def outputs(self) -> Mapping[str, str]:
        return self.predictor.outputs

    @property
    def generated(self) -> Mapping[str, str]:
        return self.predictor.generated

    def predict(self, inputs: Inputs) -> Columns:
        return self.predictor.predict(self.estimator, *inputs)

    def generate(self, count: int, seed: int) -> Columns:
        return self.predictor.generate(self.estimator, count, seed)


def save(estimator: Estimator, folder: Path) -> str:
    """Write the estimator's state; returns its SHA-256."""
    content = estimator.dump()
    (folder / STATE).write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def load(estimator: Estimator, predictor: Base, folder: Path, sha256: str) -> Fitted:
    """The estimator with the state in `folder`.

    Raises BadData for a state that is missing, or has other bytes than were saved.
    """
    try:
        content = (folder / STATE).read_bytes()
    except OSError as error:
        raise BadData.at(folder / STATE, f"no model of Millstream there ({error})") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise BadData.at(folder / STATE, "its bytes are not those that were written (SHA-256); fetch the model again")
    estimator.restore(content)
    return Fitted(estimator, predictor)
