"""Decides whether a table to score is read without Spark."""

from __future__ import annotations

from millstream.pipelines.scoring import small_csv, small_parquet
from millstream.pipelines.scoring.layout import Files, Reading
from millstream.pipelines.scoring.small_table import MOST_BYTES, Doubtful, SmallTable

_READERS = {"csv": small_csv.read, "parquet": small_parquet.read}


def read(files: Files, reading: Reading) -> SmallTable | None:
    """The table in a small file; None where Spark has to read it. Raises BadData if it lacks a needed column."""
    if len(files.paths) > 1 or files.root is not None or not 0 < files.paths[0].stat().st_size <= MOST_BYTES:
        return None
    reader = _READERS.get(files.format(reading.format))
    try:
        return None if reader is None else reader(files, reading)
    except Doubtful:
        return None
