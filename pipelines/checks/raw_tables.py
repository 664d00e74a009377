"""Which rows of a table its declared columns would quarantine: of a sample, without Spark."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from millstream.pipelines.readers.casts import NUMBER, written
from millstream.pipelines.readers.table_schema import Layout, TableColumn
from millstream.pipelines.samples.tables import Sample
from millstream.pipelines.samples.times import ISO, read
from millstream.tracking.serving.text_normalization import normal_form

_NUMBER = re.compile(NUMBER)
_WHOLE = re.compile(r"[+-]?[0-9]+")
_YEAR = re.compile(r"\s*[+-]?[0-9]{4}")
_NOT_FINITE = frozenset(["inf", "infinity", "nan"])
LARGEST = 2**63


@dataclass(frozen=True)
class Misfit:
    """Values of a column for which their rows are quarantined."""

    column: str
    reason: str
    first: str
    place: str
    rows: int

    def shown(self, rows: int) -> str:
        """As a message; `rows` are those of the sample."""
        value = f"{self.first[:40]!r} " if self.first else ""
        return f"{self.column}: {value}{self.reason} ({self.place}; {self.rows:,} of {rows:,} rows looked at)"


def misfits(sample: Sample, columns: Mapping[str, TableColumn], layout: Layout) -> tuple[list[Misfit], int]:
    """The misfits of each declared column that the sample has, most frequent first, and the rows that have none."""
    found, refused = list[Misfit](), set[int]()
    places = {name: at for at, name in enumerate(sample.names)}
    for name, declared in columns.items():
        if name not in places:
            continue
        by_reason: dict[str, list[int]] = {}
        values = sample.columns[places[name]]
        judged = {value: _reason(value, declared, layout) for value in _distinct(values)}
        for at, value in enumerate(values):
            reason = judged[value] if _is_hashable(value) else None
            if reason:
                by_reason.setdefault(reason, []).append(at)
        for reason, rows in by_reason.items():
            first = "" if values[rows[0]] is None else str(values[rows[0]]).strip()
            found.append(Misfit(name, reason, first, sample.place(rows[0]), len(rows)))
            refused.update(rows)
    return sorted(found, key=lambda one: -one.rows), sample.rows - len(refused)


def missing_rows(sample: Sample, name: str, layout: Layout) -> tuple[int, str]:
    """The rows without a value in a column, and the place of the first."""
    if name not in sample.names:
        return 0, ""
    values = sample.columns[sample.names.index(name)]
    rows = [at for at, value in enumerate(values) if _is_missing(value, layout)]
    return len(rows), sample.place(rows[0]) if rows else ""


def _distinct(values: Any) -> Iterator[Any]:
    return iter({value for value in values if _is_hashable(value)})


def _is_hashable(value: Any) -> bool:
    return not isinstance(value, list | dict)


def _is_missing(value: Any, layout: Layout) -> bool:
    if isinstance(value, str):
        return value.strip() in layout.nulls
    return value is None or value != value


def _reason(value: Any, declared: TableColumn, layout: Layout) -> str | None:
    """Why a value is refused; None for a valid one."""
    if _is_missing(value, layout):
        return None if declared.nullable else "is missing"
    if declared.classes is not None and normal_form(str(value)) not in map(normal_form, declared.classes):
        return "is none of the declared classes"
    if not isinstance(value, str):
        return None
    checks: dict[str, Callable[[str], str | None]] = {
        "long": lambda text: None if _is_whole(text) else "is no whole number",
        "double": _unfit_double,
        "timestamp": lambda text: _unfit_time(value, declared.forms),
    }
    if declared.type not in checks:
        return None
    text = value.strip()
    if declared.number is not None:
        match = re.fullmatch(written(declared.number, layout.decimal), text)
        digits = "".join(match.groups()) if match else ""
        text = digits.replace(declared.number.thousands, "") if declared.number.thousands else digits
    if declared.type == "double" and layout.decimal == ",":
        text = text.translate(str.maketrans(",.", ".,"))
    return checks[declared.type](text)


def _is_whole(text: str) -> bool:
    return bool(_WHOLE.fullmatch(text)) and -LARGEST <= int(text) < LARGEST


def _unfit_double(text: str) -> str | None:
    if not _NUMBER.match(text):
        return "is no number"
    return "is not finite" if text.lstrip("+-").lower() in _NOT_FINITE else None


def _unfit_time(text: str, forms: tuple[str, ...]) -> str | None:
    """Formats that only Spark knows are taken to fit."""
    for form in forms:
        if form == ISO and _YEAR.match(text):
            return None
        if form != ISO and ((times := read(form, [text.strip()])) is None or times):
            return None
    return f"is no time of the form {' or '.join(form or 'ISO' for form in forms)}"
