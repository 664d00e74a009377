"""Loader that MLflow calls for a registered model. Models store this module's name, so it must not be renamed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from millstream.training.assembly.model_folder import Model


def _load_pyfunc(path: str) -> Model:
    """Loads a model folder; the function's name is MLflow's."""
    from millstream.training.assembly.model_folder import load

    return load(Path(path))
