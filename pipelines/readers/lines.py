"""Text files as numbered lines; the numbers do not depend on Spark's partitions."""

from __future__ import annotations

import bz2
import gzip
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import Literal

from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import IntegerType, LongType, StringType, StructField, StructType

from millstream.pipelines.readers.multiline_csv import IsRow, Line, Piece, joined
from millstream.tracking.errors import BadData, Fault

Encoding = Literal["utf-8", "latin-1"]
JAVA_NAMES: dict[Encoding, str] = {"utf-8": "UTF-8", "latin-1": "ISO-8859-1"}
LONGEST_HEADER = 1 << 20
"""Maximal bytes of a first line."""
EMPTY = "empty; expected lines of text"
_MARK = "\ufeff"
_LINE = re.compile(rb"([^\r\n]*)(?:\r\n|\n|\r|\Z)")
"""A line, with the line ends that Spark recognizes."""
_OPENED: dict[str, Callable[[Path], BufferedIOBase]] = {".gz": gzip.GzipFile, ".bz2": bz2.BZ2File}
"""Readers of compressed files by suffix, as in Spark."""
SCHEMA = StructType(
    [StructField("line", StringType()), StructField("number", LongType()), StructField("file", IntegerType())]
)


def numbered(spark: SparkSession, path: Path, encoding: Encoding = "utf-8") -> DataFrame:
    """Columns `line` (without a byte order mark) and `number` (from 1). Raises BadData for an empty file."""
    return numbered_each(spark, [path], encoding).drop("file")


def numbered_each(
    spark: SparkSession, paths: Sequence[Path], encoding: Encoding = "utf-8", is_row: IsRow | None = None
) -> DataFrame:
    """As `numbered`, for several files: `file` is the file's index in `paths`, and each file is numbered from 1.

    With `is_row`, the lines of a multi-line row are joined, as in `multiline_csv`.
    """
    texts = [_text(spark, path, encoding).rdd for path in paths]
    files = [at for at, text in enumerate(texts) for _ in range(text.getNumPartitions())]
    whole = spark.sparkContext.union(texts)
    within = {at for at in range(1, len(files)) if files[at] == files[at - 1]}  # partitions that begin inside a file
    starts = [_Start(file) for file in files]
    if within:
        pieces = whole.mapPartitionsWithIndex(lambda at, rows: [_seen(_lines(rows, 0, at in within), is_row)]).collect()
        for at in sorted(within):
            starts[at] = starts[at - 1].behind(pieces[at - 1], is_row)

    def rows(at: int, texts: Iterable[Row]) -> Iterator[tuple[str, int, int]]:
        start = starts[at]
        numbered = _lines(texts, start.lines, at in within)
        if is_row is not None:
            numbered = joined(numbered, is_row, start.held, ends=at + 1 not in within)
        for text, number in numbered:
            yield text, number, start.file

    # verification would check the type of each value again
    return spark.createDataFrame(whole.mapPartitionsWithIndex(rows), SCHEMA, verifySchema=False)


@dataclass(frozen=True)
class _Start:
    """Start of a task: its file, the number of lines before it, and the lines of a row that is still open."""

    file: int
    lines: int = 0
    held: Sequence[Line] = ()

    def behind(self, piece: Piece, is_row: IsRow | None) -> _Start:
        held = piece.after(self.held, self.lines, is_row) if is_row is not None else ()
        return _Start(self.file, self.lines + piece.lines, held)


def _lines(texts: Iterable[Row], before: int, is_within: bool) -> Iterator[Line]:
    for number, (text,) in enumerate(texts, before + 1):
        yield text if number > 1 or is_within else text.lstrip(_MARK), number


def _seen(lines: Iterator[Line], is_row: IsRow | None) -> Piece:
    return Piece(sum(1 for _ in lines)) if is_row is None else Piece.of(lines, is_row)


def _text(spark: SparkSession, path: Path, encoding: Encoding) -> DataFrame:
    if path.stat().st_size == 0:
        raise BadData.at(path, EMPTY)
    text = spark.read.text(f"file:{path}")
    if encoding == "latin-1":
        # Spark does not decode a line's bytes until they are used as UTF-8
        text = text.select(F.decode(F.col("value").cast("binary"), JAVA_NAMES[encoding]))
    return text


def first_line(path: Path, encoding: Encoding = "utf-8", is_row: IsRow | None = None) -> str:
    """The first line without its end, decompressed as by Spark; with `is_row` the first row, as in `numbered_each`.

    Raises BadData for an empty file, or when it cannot be decoded.
    """
    begin = _begin(path, LONGEST_HEADER)
    if not begin:
        raise BadData.at(path, EMPTY)
    texts = (
        (_decoded(match[1], number, path, encoding), number) for number, match in enumerate(_LINE.finditer(begin), 1)
    )
    return next(texts if is_row is None else joined(texts, is_row))[0]


def _decoded(line: bytes, number: int, path: Path, encoding: Encoding) -> str:
    try:
        codec = "utf-8-sig" if encoding == "utf-8" and number == 1 else encoding
        return line.decode(codec, "strict" if number == 1 else "replace")
    except UnicodeDecodeError as error:
        raise BadData.at(f"{path}:1", f"not UTF-8 (byte {error.start}); save the file as UTF-8") from None


def is_empty(path: Path) -> bool:
    """Whether a file, decompressed as by Spark, is empty. Raises BadData when it cannot be decompressed."""
    return not _begin(path, 1)


def damaged(path: Path) -> list[Fault]:
    """The fault of a file that cannot be decompressed to its end."""
    try:
        with _OPENED.get(path.suffix, _plain)(path) as file:
            while file.read(1 << 20):
                pass
    except (OSError, EOFError, zlib.error) as error:
        return [Fault(where=str(path), message=f"cannot be read to its end ({error}); get the file again")]
    return []


def _begin(path: Path, most: int) -> bytes:
    """The first bytes, at most `most`."""
    if path.stat().st_size == 0:
        return b""
    try:
        with _OPENED.get(path.suffix, _plain)(path) as file:
            return file.read(most)
    except (OSError, EOFError, zlib.error) as error:
        raise BadData.at(path, f"cannot be read ({error}); get the file again") from error


def _plain(path: Path) -> BufferedIOBase:
    return path.open("rb")
