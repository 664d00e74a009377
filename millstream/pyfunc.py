"""What MLflow calls to load a registered model. Models name this module, so it keeps its place and its name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from millstream.training.assembly.model_folder import Model


def _load_pyfunc(path: str) -> Model:
    """The name is MLflow's."""
    from millstream.training.assembly.model_folder import load

    return load(Path(path))
