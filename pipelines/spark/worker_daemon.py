"""Daemon of Spark's local Python workers, without their per-task overhead.

    python -m millstream.pipelines.spark.worker_daemon pyspark.worker     (Spark calls it instead of pyspark.daemon)

A worker invalidates Python's import caches before each task and runs the garbage collector after it. Spark's workers
import from the archives `pyspark.zip` and a jar: up to Python 3.12 their directories are read again each time
(python/cpython#103200), which takes longer than most tasks. Here workers import from the installed pyspark; shared
modules are imported once, before the fork, and frozen, so that the collector skips them. What a task has imported is
frozen after it: with scikit-learn, walking over its modules again would take longer than the tasks of a small SMOTE.
"""

from __future__ import annotations

import gc
import importlib
import runpy
import sys
from pathlib import Path

NEEDED = ("pyarrow", "millstream.pipelines.spark.frames", "millstream.pipelines.readers.images")
"""Modules that our jobs import; they include numpy, pandas, pydantic and pillow."""
ARCHIVES = (".zip", ".jar")


def without_archives(search: list[str]) -> list[str]:
    """The import path without archives; unchanged if pyspark is only in an archive."""
    folders = [place for place in search if not place.endswith(ARCHIVES)]
    return folders if any((Path(place) / "pyspark" / "daemon.py").is_file() for place in folders) else search


_collect = gc.collect


def collect_and_freeze(generation: int = 2) -> int:
    """Collect garbage, and let later collections skip what is left; returns the number of objects found."""
    found = _collect(generation)
    gc.freeze()
    return found


if __name__ == "__main__":
    sys.path[:] = without_archives(sys.path)
    sys.path_importer_cache.clear()  # its importers are what is invalidated before each task
    for name in NEEDED:
        importlib.import_module(name)
    gc.freeze()
    gc.collect = collect_and_freeze  # pyspark.daemon calls it after each task
    runpy.run_module("pyspark.daemon", run_name="__main__", alter_sys=True)
