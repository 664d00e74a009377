"""Reads CSV and JSON lines on the workers, as numbered lines; one file is read by one worker."""

from __future__ import annotations

import bz2
import gzip
import json
from collections.abc import Callable, Iterator, Sequence
from csv import reader
from typing import IO, Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from millstream.pipelines.readers.csv_json import WHITESPACE
from millstream.pipelines.readers.lines import Encoding
from millstream.pipelines.readers.multiline_csv import IsRow, Line, Values, joined
from millstream.pipelines.readers.stored.listing import partition
from millstream.pipelines.readers.stored.tasks import Piece, on_workers
from millstream.pipelines.readers.table_schema import Layout
from millstream.pipelines.table import StoredFile
from millstream.tracking.errors import BadData

CELL = "p{}"
"""Name of a partition column in a frame of lines."""
LONGEST_LINE = 64 << 20
BLOCK = 1 << 20
_MARK = "\ufeff"
_OPENED: dict[str, Callable[[Any], Any]] = {".gz": lambda stream: gzip.GzipFile(fileobj=stream), ".bz2": bz2.BZ2File}
"""Readers of compressed files by suffix, as in Spark."""


def numbered(
    spark: SparkSession, files: Sequence[StoredFile], encoding: Encoding, is_row: IsRow | None = None
) -> DataFrame:
    """Columns `line`, `number` (from 1), `file`, and `p0`, `p1`, ... of the partitions; empty files have no line.

    With `is_row`, the lines of a multi-line row are joined, as in `multiline_csv`.
    """
    names = list(partition(files[0].name))
    cells = [CELL.format(at) for at in range(len(names))]

    def read(piece: Piece, stream: IO[bytes]) -> Iterator[pa.RecordBatch]:
        values = partition(piece.file.name)
        for held in _blocks(_rows(stream, piece.file, encoding, is_row)):
            lines, numbers = zip(*held, strict=True)
            of_file = [[value] * len(held) for value in (piece.file.name, *(values[name] for name in names))]
            arrays = [pa.array(lines, pa.string()), pa.array(numbers, pa.int64())]
            arrays += [pa.array(one, pa.string()) for one in of_file]
            yield pa.RecordBatch.from_arrays(arrays, ["line", "number", "file", *cells])

    schema = ", ".join(["line string", "number long", "file string", *(f"{cell} string" for cell in cells)])
    return on_workers(spark, files, read, schema)


def header(spark: SparkSession, files: Sequence[StoredFile], layout: Layout) -> list[str]:
    """Column names in the first row of CSV files. Raises BadData for duplicates, or when the headers differ."""
    blanks = layout.delimiter == WHITESPACE
    is_row = None if blanks else Values(layout.delimiter)

    def first(piece: Piece, stream: IO[bytes]) -> Iterator[pa.RecordBatch]:
        row = next(_rows(stream, piece.file, layout.encoding, is_row, strict=True), None)
        if row is not None:
            names = row[0].split() if blanks else next(reader([row[0]], delimiter=layout.delimiter))
            found = json.dumps([name.strip() for name in names])
            yield pa.RecordBatch.from_pydict({"name": [piece.file.name], "header": [found]})

    rows = on_workers(spark, files, first, "name string, header string").collect()
    first_of: dict[str, str] = {}
    for row in sorted(rows):
        first_of.setdefault(row.header, row.name)
    if not first_of:
        raise BadData.at(files[0].where, "all files are empty; expected rows in one of them: write the table again")
    (text, name), *others = first_of.items()
    if others:
        message = f"the header is another than that of {name}; expected the same in all files"
        raise BadData.at(
            f"{others[0][1]}:1", f"{message}: {json.loads(others[0][0])[:20]}, and {json.loads(text)[:20]}"
        )
    names: list[str] = json.loads(text)
    if len(set(names)) < len(names):
        raise BadData.at(f"{name}:1", f"a column comes twice in the header {names}")
    return names


def _rows(
    stream: IO[bytes], file: StoredFile, encoding: Encoding, is_row: IsRow | None, *, strict: bool = False
) -> Iterator[Line]:
    lines = _decoded(_lines(stream, file), file, encoding, strict)
    return lines if is_row is None else joined(lines, is_row)


def _decoded(lines: Iterator[bytes], file: StoredFile, encoding: Encoding, strict: bool) -> Iterator[Line]:
    """`strict`: raises BadData where the first line is not in the encoding."""
    for number, line in enumerate(lines, 1):
        try:
            text = line.decode(encoding, "strict" if strict and number == 1 else "replace")
        except UnicodeDecodeError as error:
            raise BadData.at(f"{file.where}:1", f"not UTF-8 (byte {error.start}); save the file as UTF-8") from None
        yield text.lstrip(_MARK) if number == 1 else text, number


def _lines(stream: IO[bytes], file: StoredFile) -> Iterator[bytes]:
    """Lines without their ends, which are those that Spark recognizes, decompressed by the file's suffix."""
    suffix = next((suffix for suffix in _OPENED if file.name.endswith(suffix)), None)
    content = _OPENED[suffix](stream) if suffix else stream
    rest = b""
    while block := content.read(BLOCK):
        lines = (rest + block).splitlines(keepends=True)
        # a carriage return at the end of a block may be followed by its line feed
        rest = b"" if lines[-1].endswith(b"\n") else lines.pop()
        if len(rest) > LONGEST_LINE:
            raise BadData.at(file.where, f"a line has more than {LONGEST_LINE >> 20} MiB; is it a text file of rows?")
        yield from (line.rstrip(b"\r\n") for line in lines)
    if rest:
        yield rest.rstrip(b"\r\n")


def _blocks(rows: Iterator[Line]) -> Iterator[list[Line]]:
    """Rows in lists of about BLOCK characters."""
    held: list[Line] = []
    size = 0
    for row in rows:
        held.append(row)
        size += len(row[0])
        if size >= BLOCK or len(held) >= BLOCK >> 6:
            yield held
            held, size = [], 0
    if held:
        yield held
