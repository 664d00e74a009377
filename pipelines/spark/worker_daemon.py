"""Starts Spark's Python workers on this machine, so that a task costs what it does, and no more.

    python -m pipelines.spark.worker_daemon pyspark.worker     (Spark calls it in the place of pyspark.daemon)

Before each task a worker lets Python look anew at all that it imports from, and after each it looks through all objects
for what can be freed. Spark has workers import from its archives `pyspark.zip` and a jar: up to Python 3.12 their lists
of files are read anew each time (python/cpython#103200), which takes longer than most tasks. Here they import from the
installed pyspark, and what all of them need is imported once, before they are forked, and left out of the search.
"""

from __future__ import annotations

import gc
import importlib
import runpy
import sys
from pathlib import Path

NEEDED = ("pyarrow", "millstream.pipelines.spark.frames", "millstream.pipelines.readers.images")
"""What our jobs import; with them numpy, pandas, pydantic, pillow."""
ARCHIVES = (".zip", ".jar")


def without_archives(search: list[str]) -> list[str]:
    """Where to import from, without archives; all of it, when pyspark is in one of them alone."""
    folders = [place for place in search if not place.endswith(ARCHIVES)]
    return folders if any((Path(place) / "pyspark" / "daemon.py").is_file() for place in folders) else search


if __name__ == "__main__":
    sys.path[:] = without_archives(sys.path)
    sys.path_importer_cache.clear()  # these are what is looked at anew
    for name in NEEDED:
        importlib.import_module(name)
    gc.freeze()
    runpy.run_module("pyspark.daemon", run_name="__main__", alter_sys=True)
