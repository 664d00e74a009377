"""Loader that MLflow calls for a registered model. Models store this module's name, so it must not be renamed."""

from __future__ import annotations

from pathlib import Path

from millstream.training.serving import model_file
from millstream.training.serving.model import Model


def _load_pyfunc(path: str) -> Model:
    """Loads a model folder; the function's name is MLflow's."""
    folder = Path(path)
    if model_file.read(folder).served is not None:
        return model_file.load(folder)
    # here, since such a model needs all that trained it, Lightning included
    from millstream.training.assembly import model_folder

    return model_folder.load(folder)
