"""What a column of a sample is: a number, a time, a category, a text or a key, with the evidence.

Pure functions of the values; nothing is read here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any, Literal

from millstream.pipelines.samples.numbers import CODE, Numbers, numbers_in
from millstream.pipelines.samples.times import ENOUGH, ISO, Times, times_in

Kind = Literal["empty", "constant", "number", "time", "category", "text", "key", "nested"]
Type = Literal["double", "long", "string", "timestamp"]

NULLS = frozenset(["na", "n/a", "nan", "null", "none", "#n/a", "-", "--", "?", ".", "missing", "unknown", "nil"])
"""Texts that often stand for a missing value, in lower case; they do where the other values are numbers or times."""
ALWAYS_NULL = frozenset(["NaN", "nan", "NULL", "null", "#N/A", "N/A", "n/a", "?"])
"""Texts that stand for a missing value in any column."""
MOST_DIGITS = 18
MOST_CATEGORIES = 1000
NEARLY_ALL = 0.95
MANY_ROWS = 1000
"""Rows from which whole numbers that all differ are taken for a key."""
TEXT_WORDS, TEXT_LETTERS = 3.5, 40.0
"""Mean words and letters from which strings are texts to read, not names."""
_ID = re.compile(r"(^|[_\W])(id|uuid|guid|key|nr|no|number|index)s?$|^id([_\W]|$)|[a-z]Id$|ID$", re.ASCII)


@dataclass(frozen=True)
class Profile:
    """A column of a sample. `counts` has the rows of each value that is present, as text."""

    name: str
    kind: Kind
    type: Type
    evidence: str
    rows: int
    counts: Mapping[str, int]
    numbers: Numbers | None = None
    times: Times | None = None
    doubts: tuple[str, ...] = ()
    misfits: Mapping[str, int] = field(default_factory=dict)
    """Texts, with their rows, that are not of the type that nearly all others have."""

    @property
    def present(self) -> int:
        return sum(self.counts.values())

    @property
    def missing(self) -> int:
        return self.rows - self.present

    @property
    def distinct(self) -> int:
        return len(self.counts)

    @property
    def is_id(self) -> bool:
        """Whether the name is that of an identifier: `id`, `customer_id`."""
        return bool(_ID.search(self.name))

    @property
    def is_unique(self) -> bool:
        return self.present == self.rows and self.distinct == self.rows


def null_markers(columns: Mapping[str, Sequence[Any]]) -> tuple[str, ...]:
    """The texts that stand for a missing value in a file: the empty one, and those among numbers and times."""
    found: Counter[str] = Counter()
    for values in columns.values():
        counts = Counter(text for value in values if isinstance(value, str) and (text := value.strip()))
        suspects = {text for text in counts if text.lower() in NULLS}
        rest = {text: count for text, count in counts.items() if text not in suspects}
        if not suspects or not rest:
            found.update(suspects & ALWAYS_NULL)
            continue
        every, numbers = sum(rest.values()), numbers_in(rest)
        is_typed = (numbers is not None and numbers.rows >= NEARLY_ALL * every) or times_in(rest) is not None
        found.update(suspects if is_typed else suspects & ALWAYS_NULL)
    return ("", *sorted(found))


def profile(name: str, values: Sequence[Any], nulls: Collection[str] = ("",), usual: str = ".") -> Profile:
    """The profile of a column of texts, or of typed values (of Parquet); None and `nulls` are missing."""
    texts = [_text(value) for value in values]
    counts = Counter(text for text in texts if text is not None and text not in nulls)
    present = [value for value in values if value is not None]
    if not counts:
        return Profile(name, "empty", "string", "no value", len(values), counts)
    if any(isinstance(value, list | dict | bytes) for value in present[:100]):
        return Profile(name, "nested", "string", f"{type(present[0]).__name__}, no single value", len(values), counts)
    if len(counts) == 1:
        kind: Type = "string"
        evidence = f"{next(iter(counts))!r} in every row" + (" that has a value" if len(present) < len(values) else "")
        return Profile(name, "constant", kind, evidence, len(values), counts)
    if isinstance(present[0], str):
        return _of_texts(name, len(values), counts, usual)
    return _of_typed(name, len(values), counts, present)


def _text(value: Any) -> str | None:
    """A value as the text that Spark casts it to."""
    if value is None or (isinstance(value, float) and value != value):
        return None
    if isinstance(value, bool):
        return str(value).lower()
    return value.strip() if isinstance(value, str) else str(value)


def _of_texts(name: str, rows: int, counts: Counter[str], usual: str) -> Profile:
    every, distinct = sum(counts.values()), len(counts)
    numbers = numbers_in(counts, usual)
    codes = [text for text in counts if CODE.fullmatch(text)]
    times = None
    looks_dated = bool(re.search("date|day|time|when|dt$", name, re.IGNORECASE))
    if numbers is None or numbers.rows < ENOUGH * every or (looks_dated and all(len(text) == 8 for text in counts)):
        times = times_in(counts)
    if times is not None:
        how = "ISO dates" if times.forms == (ISO,) else " or ".join(form or "ISO" for form in times.forms)
        span = f"{min(times.values.values()):%Y-%m-%d} to {max(times.values.values()):%Y-%m-%d}"
        misfits = {text: count for text, count in counts.items() if text not in times.values}
        doubts = [times.doubt] if times.doubt else []
        doubts += [_odd(misfits, "no time of this form")] if misfits else []
        return Profile(name, "time", "timestamp", f"{how}, {span}", rows, counts, None, times, tuple(doubts), misfits)
    if numbers is not None and codes and numbers.rows >= ENOUGH * every:
        evidence = f"codes: digits with leading zeros, as {codes[0]!r}"
        return _of_strings(name, rows, counts, evidence)
    if numbers is not None and numbers.rows >= ENOUGH * every:
        return _of_numbers(name, rows, counts, numbers)
    if numbers is not None and numbers.rows >= every / 2 and distinct > 2:
        others = {text: count for text, count in counts.items() if text not in numbers.values}
        share = f"{numbers.rows / every:.0%} of its values are numbers, and others are not, as {_first(others)}"
        strings = _of_strings(name, rows, counts, f"mixed: {share}")
        return _with_doubt(strings, f"{share}: it is read as text; correct the file if they are numbers")
    return _of_strings(name, rows, counts)


def _of_numbers(name: str, rows: int, counts: Counter[str], numbers: Numbers) -> Profile:
    every, distinct = sum(counts.values()), len(counts)
    misfits = {text: count for text, count in counts.items() if text not in numbers.values}
    kind: Type = "long" if numbers.is_whole else "double"
    if any(len(re.sub(r"\D", "", text)) > MOST_DIGITS for text in counts) and numbers.is_whole:
        return _of_strings(name, rows, counts, f"numbers of over {MOST_DIGITS} digits")
    span = _span(numbers.values.values())
    written = [f"with {one!r}" for one in (numbers.prefix, numbers.suffix) if one]
    written += [f"{numbers.thousands!r} between thousands"] * bool(numbers.thousands)
    written += [f"{numbers.decimal!r} as decimal mark"] * (numbers.decimal != "." and not numbers.is_whole)
    what = "whole numbers" if numbers.is_whole else "numbers"
    evidence = ", ".join([f"{what} {span}", *written])
    profile = Profile(name, "number", kind, evidence, rows, counts, numbers, misfits=misfits)
    if misfits:
        profile = _with_doubt(profile, _odd(misfits, "no number"))
    if numbers.is_ambiguous:
        sample = next(text for text in counts if (numbers.thousands and numbers.thousands in text) or "," in text)
        profile = _with_doubt(profile, f"{sample!r} is read as {numbers.values[sample]:g}: is {_mark(numbers)}?")
    if numbers.is_whole and not written and every == rows:
        values = [numbers.values[text] for text in counts if text in numbers.values]
        grows = all(one < other for one, other in pairwise(values))
        if distinct == every and every > 20 and (profile.is_id or grows):
            why = "grows from row to row" if grows else "differs in every row"
            return Profile(name, "key", kind, f"{what} {span}, {why}", rows, counts, numbers)
        if distinct == every and every >= MANY_ROWS:
            found = Profile(name, "key", kind, f"{what} {span}, all different", rows, counts, numbers)
            return _with_doubt(
                found, f"all {every:,} values differ, as of a key; remove `role: key` if it is a quantity"
            )
    if profile.is_id and numbers.is_whole and distinct > 20:
        each = every / distinct
        return Profile(name, "key", kind, f"an id by its name, {distinct:,} values, {each:.1f} rows each", rows, counts)
    if numbers.is_whole and distinct > NEARLY_ALL * every and every > 100 and not written:
        profile = _with_doubt(profile, f"nearly all values differ ({distinct:,} of {every:,}): a key? then `role: key`")
    return profile


def _of_strings(name: str, rows: int, counts: Counter[str], evidence: str = "") -> Profile:
    every, distinct = sum(counts.values()), len(counts)
    letters = sum(len(text) * count for text, count in counts.items()) / every
    words = sum(len(text.split()) * count for text, count in counts.items()) / every
    if (words >= TEXT_WORDS or letters >= TEXT_LETTERS) and distinct > min(50, every / 2):
        return Profile(name, "text", "string", f"texts of {words:.0f} words on average", rows, counts)
    if distinct > max(20, NEARLY_ALL * every) or (distinct > MOST_CATEGORIES and distinct > every / 5):
        why = f"{distinct:,} different values in {every:,} rows"
        return Profile(name, "key", "string", evidence or why, rows, counts)
    if _ID.search(name) and distinct > 20 and distinct > every / 100:
        return Profile(name, "key", "string", f"an id by its name, {distinct:,} different values", rows, counts)
    few = ", ".join(_short(text) for text, _ in counts.most_common(3))
    found = Profile(name, "category", "string", evidence or f"{distinct:,} categories: {few}", rows, counts)
    twins = _twins(counts)
    return _with_doubt(found, f"{twins} differ in case or blanks alone: one category?") if twins else found


def _of_typed(name: str, rows: int, counts: Counter[str], present: Sequence[Any]) -> Profile:
    """A column of a typed format, by the type of its values."""
    first = present[0]
    if isinstance(first, bool):
        return Profile(name, "category", "string", "booleans", rows, counts)
    if isinstance(first, date):
        times = {str(one): _moment(one) for one in present}
        span = f"{min(times.values()):%Y-%m-%d} to {max(times.values()):%Y-%m-%d}"
        found = Times((ISO,), len(present), "", times)
        kind = "times" if isinstance(first, datetime) else "dates"
        return Profile(name, "time", "timestamp", f"{kind}, {span}", rows, counts, times=found)
    if isinstance(first, int | float | Decimal):
        values = {text: float(text) for text in counts}
        whole = isinstance(first, int) or (isinstance(first, Decimal) and all(one == int(one) for one in present))
        return _of_numbers(name, rows, counts, Numbers("", "", ".", "", len(present), whole, False, values))
    return _of_strings(name, rows, counts)


def _moment(day: date) -> datetime:
    if isinstance(day, datetime):
        return day.astimezone(UTC) if day.tzinfo else day.replace(tzinfo=UTC)
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _span(values: Collection[float]) -> str:
    return f"{min(values):,.6g} to {max(values):,.6g}"


def _mark(numbers: Numbers) -> str:
    return f"{numbers.thousands!r} a thousands separator" if numbers.thousands else f"{numbers.decimal!r} decimal"


def _odd(misfits: Mapping[str, int], what: str) -> str:
    return f"{sum(misfits.values()):,} rows hold {what}, as {_first(misfits)}: they are quarantined"


def _first(texts: Mapping[str, int]) -> str:
    return repr(_short(next(iter(texts))))


def _twins(counts: Mapping[str, int]) -> str:
    """Two categories that are equal without case and blanks."""
    seen: dict[str, str] = {}
    for text in counts:
        same = seen.setdefault(re.sub(r"\s+", " ", text).casefold(), text)
        if same != text:
            return f"{_short(same)!r} and {_short(text)!r}"
    return ""


def _short(text: str, most: int = 30) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _with_doubt(profile: Profile, doubt: str) -> Profile:
    return replace(profile, doubts=(*profile.doubts, doubt))
