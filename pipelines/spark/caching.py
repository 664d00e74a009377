"""Frames cached in Spark for one job, and released when it ends.

Spark finds a cached frame by its plan, in which a file is a path: rows of a failed job would be served again after the
file has changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar

from py4j.protocol import Py4JError
from pyspark.sql import DataFrame

_FRAMES: ContextVar[list[DataFrame] | None] = ContextVar("cached frames of this job", default=None)


def cached(frame: DataFrame) -> DataFrame:
    """The frame, cached when it is first computed, until the surrounding `released` ends."""
    frames = _FRAMES.get()
    if frames is not None:
        frames.append(frame)
    return frame.persist()


@contextmanager
def released() -> Iterator[None]:
    """Releases at its end, also after an error, what was `cached` within."""
    frames: list[DataFrame] = []
    token = _FRAMES.set(frames)
    try:
        yield
    finally:
        _FRAMES.reset(token)
        with suppress(Py4JError, OSError):  # the JVM is gone, and its cache with it
            for frame in reversed(frames):
                frame.unpersist()
