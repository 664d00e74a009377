"""The model in a worker of Spark, loaded once for all of its tasks."""

from __future__ import annotations

import importlib
from functools import lru_cache
from typing import Any


@lru_cache(maxsize=1)
def model(loader: str, folder: str) -> Any:
    """The model in a folder, by the module that loads it."""
    return importlib.import_module(loader)._load_pyfunc(folder)
