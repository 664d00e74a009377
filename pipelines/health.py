"""Health checks for preparation: Java, Spark, memory, the store, leftovers of dead processes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pyspark

from millstream.pipelines.publish.stores import open_store
from millstream.pipelines.spark import session
from millstream.tracking.errors import Refusal
from millstream.tracking.health import Check, checked
from millstream.tracking.settings import Settings

LEAST_MEMORY_GIB = 2
_TRIED = ".tried"


def checks(settings: Settings) -> Iterator[Check]:
    yield checked("java", lambda: f"{session.find_java()}", "install OpenJDK 17, or set JAVA_HOME")
    python = os.environ.get("PYSPARK_PYTHON", sys.executable)
    mend = "" if python == sys.executable else "unset PYSPARK_PYTHON; Millstream sets it to its own Python"
    yield Check(name="spark", ok=True, found=f"Spark {pyspark.__version__}, Python {python}", mend=mend)
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES") / (1 << 30)
    mend = "" if gib > LEAST_MEMORY_GIB else "close other programs, or use a machine with more memory"
    yield Check(name="memory", ok=not mend, found=f"{gib:.1f} GiB free", mend=mend)
    yield _store(settings)


def _store(settings: Settings) -> Check:
    """Checks that the store is writable, and removes leftovers of dead processes."""
    mend = "set MILLSTREAM_STORE to a folder or a URL of yours"
    try:
        store = open_store(settings, lambda: session.session(None, settings))
        with store.staging(_TRIED, "try"):
            pass
        if isinstance(store.where, Path):
            with suppress(OSError):  # another process may be checking, too
                (store.where / _TRIED).rmdir()
        names = [one.name for one in store.where.iterdir() if one.is_dir()]
        swept = [left for name in names for left in store.sweep(name)]
        more = f"; removed {len(swept)} leftovers of dead processes" if swept else ""
        return Check(name="store", ok=True, found=f"{store.where}{more}")
    except (Refusal, OSError) as error:
        return Check(name="store", ok=False, found=str(error), mend=mend)
