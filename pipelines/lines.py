"""Text files as numbered lines: the same number for a line whatever the partitions."""

from __future__ import annotations

import bz2
import gzip
import zlib
from collections.abc import Callable
from io import BufferedIOBase
from pathlib import Path
from typing import Literal

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import LongType, StringType, StructField, StructType

from tracking.faults import BadData

Encoding = Literal["utf-8", "latin-1"]
JAVA_NAMES: dict[Encoding, str] = {"utf-8": "UTF-8", "latin-1": "ISO-8859-1"}
LONGEST_HEADER = 1 << 20
"""Bytes of a first line that are read."""
EMPTY = "empty; expected lines of text"
_OPENED: dict[str, Callable[[Path], BufferedIOBase]] = {".gz": gzip.GzipFile, ".bz2": bz2.BZ2File}
"""How a packed file is read, by its ending: Spark goes by that, too."""
SCHEMA = StructType([StructField("line", StringType()), StructField("number", LongType())])


def numbered(spark: SparkSession, path: Path, encoding: Encoding = "utf-8") -> DataFrame:
    """Columns `line` and `number` (from 1), a byte order mark taken off. Raises BadData for an empty file."""
    _check_not_empty(path)
    text = spark.read.text(f"file:{path}")
    if encoding == "latin-1":
        # Spark keeps a line's bytes as they are until somebody reads them as UTF-8
        text = text.select(F.decode(F.col("value").cast("binary"), JAVA_NAMES[encoding]))
    lines = text.rdd.map(lambda row: row[0]).zipWithIndex()
    rows = lines.map(lambda pair: (pair[0].lstrip("\ufeff") if pair[1] == 0 else pair[0], pair[1] + 1))
    return spark.createDataFrame(rows, SCHEMA)


def first_line(path: Path, encoding: Encoding = "utf-8") -> str:
    """The first line without its end, unpacked as Spark does it. Raises BadData where there is none, or other bytes."""
    _check_not_empty(path)
    try:
        with _OPENED.get(path.suffix, _plain)(path) as file:
            line = file.readline(LONGEST_HEADER)
    except (OSError, EOFError, zlib.error) as error:
        raise BadData.at(path, f"cannot be read ({error}); get the file again") from error
    if not line:
        raise BadData.at(path, EMPTY)
    line = line.rstrip(b"\n").partition(b"\r")[0]  # lines may end as Spark takes them
    try:
        return line.decode("utf-8-sig" if encoding == "utf-8" else encoding)
    except UnicodeDecodeError as error:
        raise BadData.at(f"{path}:1", f"not UTF-8 (byte {error.start}); save the file as UTF-8") from None


def _plain(path: Path) -> BufferedIOBase:
    return path.open("rb")


def _check_not_empty(path: Path) -> None:
    if path.stat().st_size == 0:
        raise BadData.at(path, EMPTY)
