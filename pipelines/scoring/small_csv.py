"""A small CSV file, read without Spark where only one reading of it is possible.

`input_table` defines how a table is read. A file in which a character, a number of values or a value leaves room for
another reading, or that `input_table` may refuse, is left to it: no value is read differently, and none refused here.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from millstream.pipelines.readers.casts import MALFORMED, NUMBER, WHOLE
from millstream.pipelines.readers.csv_json import WHITESPACE
from millstream.pipelines.readers.multiline_csv import Values, joined
from millstream.pipelines.readers.table_schema import Layout, TableColumn
from millstream.pipelines.scoring import input_table
from millstream.pipelines.scoring.layout import Files, Reading
from millstream.pipelines.scoring.small_table import ARROW, Doubtful, SmallTable, checked
from millstream.pipelines.scoring.text_inputs import TextForm

MOST_COLUMNS = 1000
_LONGEST_NUMBER = 40
"""Characters of a number: shorter ones are rounded alike by Java and Python."""
_NUMBER, _WHOLE = (re.compile(text.replace(r"\z", ""), re.ASCII) for text in (NUMBER, WHOLE))
_PLAIN = re.compile(input_table.PLAIN.replace(r"\z", ""), re.ASCII)
_DAY, _TIME = r"(?P<yyyy>\d{4})-(?P<MM>\d\d)-(?P<dd>\d\d)", r"(?P<HH>\d\d):(?P<mm>\d\d):(?P<ss>\d\d)"
_ISO = re.compile(rf"{_DAY}(?:[ T]{_TIME}(?:\.(?P<SSSSSS>\d{{6}}))?)?", re.ASCII)
_PART = re.compile("([A-Za-z]+)")
_WIDTHS = {"yyyy": 4, "MM": 2, "dd": 2, "HH": 2, "mm": 2, "ss": 2}
_PARTS = (*_WIDTHS, "SSSSSS")
_SWAPPED = str.maketrans(",.", ".,")
Text = str | None


def read(files: Files, reading: Reading) -> SmallTable:
    """Raises Doubtful for a file that `input_table` has to read, and BadData for one that lacks a needed column."""
    layout = reading.layout
    is_odd = layout.delimiter in (WHITESPACE, " ", '"', "\\") or any(one.declared is None for one in reading.inputs)
    if is_odd or files.paths[0].suffix in (".gz", ".bz2"):
        raise Doubtful
    layout, names = input_table.csv_names(files.paths, reading)
    reading.check(files.where, names)
    if len(names) > MOST_COLUMNS:
        raise Doubtful
    rows = list(_rows(files.paths[0], layout, len(names)))
    if not rows:
        raise Doubtful
    inputs = {one.name: one for one in reading.inputs}
    columns = {
        name: _column(texts, layout.columns.get(name), layout)
        for name, texts in zip(names, zip(*rows, strict=True), strict=True)
    }
    read_as_inputs = {name: (columns[name], one) for name, one in inputs.items() if name in columns}
    return checked(columns, read_as_inputs, reading.inputs)


def _rows(path: Path, layout: Layout, count: int) -> Iterator[list[Text]]:
    try:
        text = path.read_bytes().decode("utf-8-sig" if layout.encoding == "utf-8" else layout.encoding)
    except UnicodeDecodeError:
        raise Doubtful from None
    lines = text.replace("\r\n", "\n").split("\n")
    signs = set("".join(lines)) - {layout.delimiter}
    if not all(map(str.isprintable, signs)) or MALFORMED in signs:
        raise Doubtful
    is_row, value = Values(layout.delimiter, count), _value_of(layout)
    for row, number in joined(((line, number) for number, line in enumerate(lines, 1)), is_row):
        if row.strip(" ") and not (layout.header and number == 1):
            if not is_row(row):
                raise Doubtful
            yield list(value(row))


def _value_of(layout: Layout) -> Callable[[str], Iterator[Text]]:
    end = re.escape(layout.delimiter)
    one = re.compile(rf'(?: *"((?:[^"]|"")*)" *|([^"{end}\n]*))({end}|\Z)')

    def values(row: str) -> Iterator[Text]:
        at, more = 0, "more"
        while more:
            found = one.match(row, at)
            if found is None:
                raise Doubtful
            quoted, bare, more = found.groups()
            text = bare.strip(" ") if quoted is None else quoted.replace('""', '"')
            yield None if text in layout.nulls or (quoted is None and not text) else text
            at = found.end()

    return values


def _column(texts: Sequence[Text], declared: TableColumn | None, layout: Layout) -> pa.Array:
    """Values of the declared type; of an undeclared column integers, if all are in canonical form."""
    if declared is None:
        is_plain = all(text is None or _PLAIN.fullmatch(text) for text in texts)
        return pa.array(
            [_maybe(int, text) for text in texts] if is_plain else texts, pa.int64() if is_plain else pa.string()
        )
    cast = _casts(declared, layout)
    return pa.array([_maybe(cast, text) for text in texts], ARROW[declared.type])


def _maybe(cast: Callable[[str], Any], text: Text) -> Any:
    return None if text is None else cast(text)


def _casts(declared: TableColumn, layout: Layout) -> Callable[[str], Any]:
    """How a text becomes a value of the type; it raises Doubtful for one that may be invalid."""
    if declared.type == "string":
        return TextForm.of(declared, layout).changed
    if declared.number is not None or len(declared.forms) > 1:
        raise Doubtful  # left to Spark: written numbers, and formats that are tried in turn
    if declared.type == "timestamp":
        pattern = _pattern(declared.forms[0]) if declared.forms[0] else _ISO
        return lambda text: _time(text, pattern)
    if declared.type == "long":
        return _integer
    return lambda text: _number(text, layout.decimal)


def _integer(text: str) -> int:
    if not _WHOLE.fullmatch(text) or not -(2**63) <= (value := int(text)) < 2**63:
        raise Doubtful
    return value


def _number(text: str, decimal: str) -> float:
    number = text.strip(" ") if decimal == "." else text.strip(" ").translate(_SWAPPED)
    if len(number) > _LONGEST_NUMBER or not _NUMBER.fullmatch(number) or not math.isfinite(value := float(number)):
        raise Doubtful
    return value


def _time(text: str, pattern: re.Pattern[str]) -> datetime.datetime:
    found = pattern.fullmatch(text)
    if found is None:
        raise Doubtful
    year, month, day, hour, minute, second, micro = (int(found.groupdict().get(part) or 0) for part in _PARTS)
    try:
        return datetime.datetime(year, month, day, hour, minute, second, micro, datetime.UTC)
    except ValueError:
        raise Doubtful from None


def _pattern(form: str) -> re.Pattern[str]:
    """For a format with a date, and perhaps a time, of fixed widths."""
    pieces = _PART.split(form)
    words = pieces[1::2]
    if (
        not {"yyyy", "MM", "dd"} <= set(words) <= set(_WIDTHS)
        or len(set(words)) < len(words)
        or re.search(r"['\[\]#{}]", form)
    ):
        raise Doubtful
    return re.compile(
        "".join(rf"(?P<{one}>\d{{{_WIDTHS[one]}}})" if one in _WIDTHS else re.escape(one) for one in pieces), re.ASCII
    )
