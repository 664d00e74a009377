"""Text files as numbered lines: the same number for a line whatever the partitions."""

from __future__ import annotations

import bz2
import gzip
import zlib
from collections.abc import Callable, Iterator, Sequence
from io import BufferedIOBase
from pathlib import Path
from typing import Literal

from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import IntegerType, LongType, StringType, StructField, StructType

from tracking.faults import BadData

Encoding = Literal["utf-8", "latin-1"]
JAVA_NAMES: dict[Encoding, str] = {"utf-8": "UTF-8", "latin-1": "ISO-8859-1"}
LONGEST_HEADER = 1 << 20
"""Bytes of a first line that are read."""
EMPTY = "empty; expected lines of text"
_OPENED: dict[str, Callable[[Path], BufferedIOBase]] = {".gz": gzip.GzipFile, ".bz2": bz2.BZ2File}
"""How a packed file is read, by its ending: Spark goes by that, too."""
SCHEMA = StructType(
    [StructField("line", StringType()), StructField("number", LongType()), StructField("file", IntegerType())]
)


def numbered(spark: SparkSession, path: Path, encoding: Encoding = "utf-8") -> DataFrame:
    """Columns `line` and `number` (from 1), a byte order mark taken off. Raises BadData for an empty file."""
    return numbered_each(spark, [path], encoding).drop("file")


def numbered_each(spark: SparkSession, paths: Sequence[Path], encoding: Encoding = "utf-8") -> DataFrame:
    """As `numbered`, of several files: `file` is the place of a line's in `paths`, and each begins with 1."""
    texts = [_text(spark, path, encoding).rdd for path in paths]
    files = [at for at, text in enumerate(texts) for _ in range(text.getNumPartitions())]
    whole = spark.sparkContext.union(texts)
    before = [0] * len(files)
    if len(files) > len(texts):
        counts = whole.mapPartitions(lambda rows: [sum(1 for _ in rows)]).collect()
        for at in range(1, len(files)):
            before[at] = before[at - 1] + counts[at - 1] if files[at] == files[at - 1] else 0

    def number(at: int, rows: Iterator[Row]) -> Iterator[tuple[str, int, int]]:
        for place, (line,) in enumerate(rows, before[at] + 1):
            yield line.lstrip("\ufeff") if place == 1 else line, place, files[at]

    # Spark would look at the type of each value once more
    return spark.createDataFrame(whole.mapPartitionsWithIndex(number), SCHEMA, verifySchema=False)


def _text(spark: SparkSession, path: Path, encoding: Encoding) -> DataFrame:
    if path.stat().st_size == 0:
        raise BadData.at(path, EMPTY)
    text = spark.read.text(f"file:{path}")
    if encoding == "latin-1":
        # Spark keeps a line's bytes as they are until somebody reads them as UTF-8
        text = text.select(F.decode(F.col("value").cast("binary"), JAVA_NAMES[encoding]))
    return text


def first_line(path: Path, encoding: Encoding = "utf-8") -> str:
    """The first line without its end, unpacked as Spark does it. Raises BadData where there is none, or other bytes."""
    line = _begin(path, LONGEST_HEADER)
    if not line:
        raise BadData.at(path, EMPTY)
    line = line.rstrip(b"\n").partition(b"\r")[0]  # lines may end as Spark takes them
    try:
        return line.decode("utf-8-sig" if encoding == "utf-8" else encoding)
    except UnicodeDecodeError as error:
        raise BadData.at(f"{path}:1", f"not UTF-8 (byte {error.start}); save the file as UTF-8") from None


def is_empty(path: Path) -> bool:
    """Whether nothing is in a file, unpacked as Spark does it. Raises BadData where that cannot be done."""
    return not _begin(path, 1)


def _begin(path: Path, most: int) -> bytes:
    """The first line, or as many bytes of it."""
    if path.stat().st_size == 0:
        return b""
    try:
        with _OPENED.get(path.suffix, _plain)(path) as file:
            return file.readline(most)
    except (OSError, EOFError, zlib.error) as error:
        raise BadData.at(path, f"cannot be read ({error}); get the file again") from error


def _plain(path: Path) -> BufferedIOBase:
    return path.open("rb")
