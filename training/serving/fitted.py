"""Predictions by an estimator, without torch."""

from __future__ import annotations

import hashlib
from pathlib import Path

from millstream.tracking.errors import BadData
from millstream.training.estimator import Estimator
from millstream.training.predictions._predictor import Base
from millstream.training.serving.model import Trained

STATE = "estimator.bin"


def save(estimator: Estimator, folder: Path) -> str:
    """Write the estimator's state; returns its SHA-256."""
    content = estimator.dump()
    (folder / STATE).write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def load(estimator: Estimator, predictor: Base, folder: Path, sha256: str) -> Trained:
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
    return Trained(estimator, predictor)
