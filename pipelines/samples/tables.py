"""Samples of tables: all rows of a small file, spaced pieces of a large one. Without Spark."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from millstream.pipelines.samples.csv_text import (
    LOOKED_AT,
    OPENED,
    PIECES,
    decoded,
    delimiter_of,
    has_header,
    lines_of,
    pieces_of,
    rows_of,
)
from millstream.tracking.errors import BadData

Format = Literal["csv", "jsonl", "parquet"]
FORMATS: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".tab": "csv",
    ".txt": "csv",
    ".data": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
MOST_ROWS, MOST_IN_GROUP = 20_000, 2_000_000
LEAST_ROWS, MOST_CELLS = 1000, 2_000_000


@dataclass(frozen=True)
class Sample:
    """Rows of a table. `columns` holds the values by position; of text files they are texts."""

    format: Format
    names: tuple[str, ...]
    columns: tuple[Sequence[Any], ...]
    total: int
    """Rows of the file: counted, or estimated where the sample is not complete."""
    is_complete: bool
    lines: Sequence[int] = ()
    """Line of each row, from 1; 0 where it is unknown."""
    delimiter: str = ","
    encoding: Literal["utf-8", "latin-1"] = "utf-8"
    header: bool = True
    is_quoted: bool = True
    """Whether a quotation mark encloses a value; if not, it is a letter as others, between tabs."""
    odd: tuple[str, ...] = ()
    """Rows with another number of values than the header; they are not in the columns."""

    @property
    def rows(self) -> int:
        return len(self.columns[0]) if self.columns else 0

    @property
    def how(self) -> str:
        """How much was read."""
        return f"all {self.rows:,} rows" if self.is_complete else f"{self.rows:,} of about {self.total:,} rows"

    def place(self, at: int) -> str:
        """The row of the sample at an index, for a message."""
        line = self.lines[at] if at < len(self.lines) else 0
        return f"line {line}" if line else f"row {at + 1} of the sample"


def format_of(path: Path) -> Format | None:
    """The format that a file name stands for; None for an unknown one."""
    inner = path.with_suffix("") if path.suffix in OPENED else path
    return FORMATS.get(inner.suffix.lower())


def sample(
    path: Path,
    kind: Format | None = None,
    *,
    delimiter: str | None = None,
    header: bool | None = None,
    most: int = MOST_ROWS,
) -> Sample:
    """At most so many rows of a table; `delimiter` and `header` of a CSV file are found out where they are None.

    Raises BadData for a file that is empty, binary, damaged, or no table."""
    kind = kind or format_of(path) or "csv"
    try:
        if kind == "csv":
            return _of_csv(path, delimiter, header, most)
        return _of_json(path, most) if kind == "jsonl" else _of_parquet(path, most)
    except OSError as error:
        raise BadData.at(path, f"cannot be read ({error}); look at the file and its owner") from None


def _of_csv(path: Path, delimiter: str | None, header: bool | None, most: int) -> Sample:
    pieces, is_complete, size = pieces_of(path)
    encoding, texts = decoded(path, pieces)
    lines = lines_of(texts[0])
    if not any(line.strip() for line in lines):
        raise BadData.at(path, "is empty; expected a header and a row for each sample")
    delimiter = delimiter or delimiter_of(lines[:LOOKED_AT])
    is_quoted = delimiter != "\t" or all(line.count('"') % 2 == 0 for line in lines)
    head = list(rows_of(texts[0], delimiter, 1, is_quoted=is_quoted))
    first = [cell.strip() for cell in head[0][1]]
    if header is None:
        header = has_header(first, [row for _, row in head[1:LOOKED_AT]])
    names = first if header else [f"column_{at + 1}" for at in range(len(first))]
    rows = head[1:] if header else head
    for text in texts[1:]:
        rows += [(0, row) for _, row in list(rows_of(text, delimiter, 1, is_quoted=is_quoted))[1:]]
    if not is_complete:
        rows = rows[:-1]  # it may end within the piece
    good = [(line, row) for line, row in rows if len(row) == len(names)]
    odd = tuple(f"line {line}: {len(row)} values" for line, row in rows if len(row) != len(names) and line)
    total = len(rows) if is_complete else int(size / max(1, sum(map(len, pieces))) * len(rows))
    if len(good) > most:
        good, is_complete = [good[int(at * len(good) / most)] for at in range(most)], False
    columns = tuple(zip(*(row for _, row in good), strict=True)) or tuple(() for _ in names)
    return Sample(
        format="csv",
        names=tuple(names),
        columns=columns,
        total=total,
        is_complete=is_complete,
        lines=[line for line, _ in good],
        delimiter=delimiter,
        encoding=encoding,
        header=header,
        is_quoted=is_quoted,
        odd=odd,
    )


def _of_json(path: Path, most: int) -> Sample:
    pieces, is_complete, size = pieces_of(path)
    encoding, texts = decoded(path, pieces)
    if encoding != "utf-8":
        raise BadData.at(path, "is not UTF-8; JSON lines are")
    rows, names = [], dict[str, None]()
    for at, text in enumerate(texts):
        lines = [line for line in lines_of(text) if line.strip()]
        for number, line in enumerate(lines if at == 0 and is_complete else lines[:-1], 1):
            try:
                row = json.loads(line)
            except ValueError:
                row = None
            if not isinstance(row, dict):
                raise BadData.at(f"{path}:{number}", f"is no JSON object: {line[:40]!r}; expected one in each line")
            rows.append(row)
            names |= dict.fromkeys(row)
    if not rows:
        raise BadData.at(path, "is empty; expected a JSON object in each line")
    total = len(rows) if is_complete else int(size / max(1, sum(map(len, pieces))) * len(rows))
    kept = rows[:: max(1, -(-len(rows) // most))]
    columns = tuple([row.get(name) for row in kept] for name in names)
    return Sample("jsonl", tuple(names), columns, total, is_complete and len(kept) == len(rows))


def _of_parquet(path: Path, most: int) -> Sample:
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = (
        sorted(one for one in path.rglob("*.parquet") if not re.match(r"[._]", one.name)) if path.is_dir() else [path]
    )
    try:
        opened = [pq.ParquetFile(file) for file in files]
        total = sum(file.metadata.num_rows for file in opened)
        groups = [(file, at) for file in opened for at in range(file.num_row_groups)]
        chosen = groups[:: max(1, -(-len(groups) // PIECES))] if total > most else groups
        most = min(most, max(LEAST_ROWS, MOST_CELLS // max(1, len(opened[0].schema_arrow.names))))
        share = max(1, most // max(1, len(chosen)))
        pieces = [_spaced(file, at, share) for file, at in chosen]
        rows = pa.concat_tables(pieces) if pieces else opened[0].schema_arrow.empty_table()
        columns = tuple(_plain(column) for column in rows.columns)
    except (pa.ArrowException, OSError, ValueError, IndexError) as error:
        raise BadData.at(path, f"cannot be read as Parquet ({str(error).splitlines()[0]}); get it again") from None
    if not total:
        raise BadData.at(path, "has no rows")
    return Sample("parquet", tuple(rows.schema.names), columns, total, rows.num_rows == total)


def _spaced(file: Any, group: int, rows: int) -> Any:
    """Evenly spaced rows of a row group; of a very large one its first rows."""
    import pyarrow as pa

    count = file.metadata.row_group(group).num_rows
    if count > MOST_IN_GROUP:
        return pa.Table.from_batches([next(file.iter_batches(rows, row_groups=[group]))])
    table = file.read_row_group(group)
    return table.take([int(at * count / rows) for at in range(rows)]) if count > rows else table


def _plain(column: Any) -> list[Any]:
    """The values of an Arrow column as plain Python values, times to the microsecond."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        column = column.cast(pa.timestamp("us", kind.tz), safe=False)
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
    values: list[Any] = column.to_pylist()
    return values
