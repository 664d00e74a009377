"""Whether this machine can prepare: Java, Spark, memory, the store, what dead processes left."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pyspark

from pipelines import publish, session
from tracking.doctor import Check, asked
from tracking.settings import Settings

LEAST_MEMORY_GIB = 2


def checks(settings: Settings) -> Iterator[Check]:
    yield asked("java", lambda: f"{session.find_java()}", "install OpenJDK 17, or set JAVA_HOME")
    python = os.environ.get("PYSPARK_PYTHON", sys.executable)
    mend = "" if python == sys.executable else "unset PYSPARK_PYTHON; Millstream sets it to its own Python"
    yield Check(name="spark", ok=True, found=f"Spark {pyspark.__version__}, Python {python}", mend=mend)
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES") / (1 << 30)
    mend = "" if gib > LEAST_MEMORY_GIB else "close other programs, or use a machine with more memory"
    yield Check(name="memory", ok=not mend, found=f"{gib:.1f} GiB free", mend=mend)
    yield _store(settings)


def _store(settings: Settings) -> Check:
    if "://" in settings.store:
        return Check(name="store", ok=False, found=settings.store, mend="set MILLSTREAM_STORE to a folder")
    store = Path(settings.store)
    try:
        store.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return Check(
            name="store", ok=False, found=f"{store}: {error.strerror}", mend="set MILLSTREAM_STORE to a folder of yours"
        )
    if not os.access(store, os.W_OK):
        return Check(
            name="store", ok=False, found=f"{store} cannot be written", mend="set MILLSTREAM_STORE to a folder of yours"
        )
    swept = [name for folder in store.iterdir() if folder.is_dir() for name in publish.sweep(store, folder.name)]
    more = f"; removed {len(swept)} leftovers of dead processes" if swept else ""
    return Check(name="store", ok=True, found=f"{store}{more}")
