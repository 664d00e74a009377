"""Reads the text of delimited files: pieces of large ones, encoding, delimiter, header, rows."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Literal

from millstream.pipelines.samples.numbers import numbers_in
from millstream.pipelines.samples.times import times_in
from millstream.tracking.errors import BadData

WHOLE_BYTES = 4 << 20
"""Files up to this size are read completely; of others as much, in pieces."""
PIECES = 12
DELIMITERS = ",;\t|"
WHITESPACE = "whitespace"
OPENED: dict[str, Callable[[Path], Any]] = {".gz": gzip.open, ".bz2": bz2.open}
LOOKED_AT = 200


def lines_of(text: str) -> list[str]:
    """The lines as Spark divides them: Python's `splitlines` divides at more characters, some of them in latin-1."""
    return re.split(r"\r\n|\n|\r", text)


def pieces_of(path: Path) -> tuple[list[bytes], bool, int]:
    """The bytes of a file, or its beginning and pieces from whole lines; whether that is all; the size."""
    suffix = path.suffix.lower()
    if suffix in OPENED:
        with OPENED[suffix](path) as stream:
            try:
                read = stream.read(WHOLE_BYTES + 1)
            except (EOFError, OSError) as error:
                raise BadData.at(path, f"cannot be unpacked ({error}); get the file again") from None
        # tables compress about five times
        return [read[:WHOLE_BYTES]], len(read) <= WHOLE_BYTES, max(len(read), path.stat().st_size * 5)
    size = path.stat().st_size
    with path.open("rb") as stream:
        if size <= WHOLE_BYTES:
            return [stream.read()], True, size
        length = WHOLE_BYTES // PIECES
        found = [stream.read(length)]
        for at in range(1, PIECES):
            stream.seek(at * (size // PIECES))
            found.append(_from_a_line(stream, length))
    return found, False, size


def _from_a_line(stream: IO[bytes], length: int) -> bytes:
    """Whole lines; the first is kept, as it stands in for a header."""
    stream.readline(length)
    piece = stream.read(length)
    return b"\n" + piece[: piece.rfind(b"\n") + 1 or None]


def decoded(path: Path, pieces: Sequence[bytes]) -> tuple[Literal["utf-8", "latin-1"], list[str]]:
    if pieces[0][:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise BadData.at(path, "is UTF-16; save it as UTF-8")
    if b"\x00" in pieces[0][:4096]:
        raise BadData.at(path, "is no text (it holds NUL bytes); expected CSV, JSON lines or Parquet")
    try:
        texts = [piece.decode("utf-8-sig", errors="strict") for piece in _cut(pieces)]
        return "utf-8", texts
    except UnicodeDecodeError:
        return "latin-1", [piece.decode("latin-1") for piece in pieces]


def _cut(pieces: Sequence[bytes]) -> list[bytes]:
    """The pieces without the incomplete character at the end of a cut one."""
    if len(pieces) == 1 and len(pieces[0]) < WHOLE_BYTES:
        return list(pieces)
    return [piece[: piece.rfind(b"\n") + 1] if b"\n" in piece else piece for piece in pieces]


def rows_of(text: str, delimiter: str, first: int, *, is_quoted: bool = True) -> Iterator[tuple[int, list[str]]]:
    """Rows with their first lines; blank lines are skipped."""
    if delimiter == WHITESPACE:
        for number, whole in enumerate(lines_of(text), first):
            if whole.strip():
                yield number, whole.split()
        return
    csv.field_size_limit(1 << 24)
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if is_quoted else csv.QUOTE_NONE
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting)
    line = first
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield line, row
            line = first + reader.line_num
    except csv.Error:
        return


def delimiter_of(lines: Sequence[str]) -> str:
    """The delimiter that divides most lines into the same number of values, over one."""
    scores = {}
    for delimiter in DELIMITERS:
        widths = Counter(len(row) for _, row in rows_of("\n".join(lines), delimiter, 1))
        width, rows = widths.most_common(1)[0] if widths else (1, 0)
        if width > 1:
            scores[delimiter] = (rows / widths.total() >= 0.8, rows / widths.total() * min(width, 10))
    if scores:
        return max(scores, key=lambda one: scores[one])
    widths = Counter(len(line.split()) for line in lines if line.strip())
    width, rows = widths.most_common(1)[0]
    is_divided = width > 1 and rows == widths.total() and _are_numbers(lines)
    return WHITESPACE if is_divided else ","


def _are_numbers(lines: Sequence[str]) -> bool:
    cells = Counter(cell for line in lines[1:] for cell in line.split())
    numbers = numbers_in(cells)
    return numbers is not None and numbers.rows >= cells.total() / 2


def has_header(first: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row has names: no numbers or times over a column of them, and no value of its column."""
    if not rows:
        return not any(_is_value(cell) for cell in first)
    columns = [[row[at].strip() for row in rows if at < len(row)] for at in range(len(first))]
    typed = [bool(values) and sum(map(_is_value, values)) > len(values) / 2 for values in columns]
    if any(is_typed and not _is_value(cell) and cell for cell, is_typed in zip(first, typed, strict=True)):
        return True
    if any(is_typed and _is_value(cell) for cell, is_typed in zip(first, typed, strict=True)):
        return False
    again = sum(cell in values for cell, values in zip(first, columns, strict=True) if cell)
    return again < max(1, len(first) / 2)


def _is_value(cell: str) -> bool:
    return bool(cell) and (numbers_in({cell: 1}) is not None or times_in({cell: 1}) is not None)
