"""How dates and times are written in texts, as the formats that Spark reads them by."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

ISO = ""
"""The format of ISO dates and times, which needs none."""
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}(?:[ T]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?(?:Z|[+-]\d{2}:?\d{2})?)?", re.ASCII)
_DAYS = ("d{0}M{0}y", "M{0}d{0}y", "y{0}M{0}d")
_CLOCKS = ("", " HH:mm", " HH:mm:ss", " h:mm a", " h:mm:ss a")
_NAMED = ("d MMM y", "d-MMM-y", "d MMMM y", "MMM d, y", "MMMM d, y", "d. MMMM y")
_SYNTAX = {
    "d": r"\d{1,2}",
    "M": r"\d{1,2}",
    "dd": r"\d{2}",
    "MM": r"\d{2}",
    "yyyy": r"\d{4}",
    "yy": r"\d{2}",
    "MMM": "[A-Z][a-z]{2}",
    "MMMM": "[A-Z][a-z]{2,8}",
    "HH": r"\d{2}",
    "h": r"\d{1,2}",
    "mm": r"\d{2}",
    "ss": r"\d{2}",
    "a": "[AP]M",
}
_PYTHON = {
    "d": "%d",
    "M": "%m",
    "dd": "%d",
    "MM": "%m",
    "yyyy": "%Y",
    "yy": "%y",
    "MMM": "%b",
    "MMMM": "%B",
    "HH": "%H",
    "h": "%I",
    "mm": "%M",
    "ss": "%S",
    "a": "%p",
}
_LETTERS = re.compile(r"[a-zA-Z]+")
MOST_FORMS, MOST_TRIED = 4, 3000
ENOUGH = 0.95
"""Share of the rows that a set of formats reads in a column of dates."""


@dataclass(frozen=True)
class Times:
    """The formats in which texts are times, and how many are."""

    forms: tuple[str, ...]
    rows: int
    doubt: str
    """Empty, or what a person should look at."""
    values: Mapping[str, datetime]
    """The time of each text, in UTC."""


def times_in(counts: Mapping[str, int]) -> Times | None:
    """The formats that most of the texts (with their row counts) are written in; None where fewer than 95 % are times.

    Of long lists the most frequent texts are tried.
    """
    tried = dict(islice(sorted(counts.items(), key=lambda one: -one[1]), MOST_TRIED))
    if not any(re.search(r"\d", text) and len(text) >= 6 for text in islice(tried, 50)):
        return None
    left, forms, values = dict(tried), list[str](), dict[str, datetime]()
    doubt = ""
    while left and len(forms) < MOST_FORMS:
        by_form = {form: found for form in _forms(left) if (found := read(form, left))}
        # once days come first, they come first in all formats
        by_form = {form: found for form, found in by_form.items() if not _swapped(form) & set(forms)}
        if not by_form:
            break
        sizes = {form: sum(left[text] for text in found) for form, found in by_form.items()}
        form = max(by_form, key=lambda one: (sizes[one], -len(one)))
        twins = [twin for twin in _swapped(form) if sizes.get(twin) == sizes[form]]
        if twins and any(by_form[form][text] != by_form[twins[0]].get(text) for text in by_form[form]):
            doubt = (
                f"the day or the month may come first: {next(iter(by_form[form]))!r} is read as {form}, not {twins[0]}"
            )
        elif re.search(r"(?<!y)yy(?!y)", form):
            doubt = f"two digits of a year, {next(iter(by_form[form]))!r}, are read as 20xx"
        forms.append(form)
        values |= by_form[form]
        left = {text: count for text, count in left.items() if text not in by_form[form]}
    rows, every = sum(tried[text] for text in values), sum(tried.values())
    if not forms or rows < ENOUGH * every:
        return None
    if len(tried) < len(counts):
        rest = {text: count for text, count in counts.items() if text not in tried}
        for form in forms:
            values |= {text: time for text, time in (read(form, rest) or {}).items() if text not in values}
        rows = sum(counts[text] for text in values)
    return Times(tuple(forms), rows, doubt, values)


def _forms(texts: Mapping[str, int]) -> Iterator[str]:
    """The formats that some of the first texts may be written in."""
    few = list(islice(texts, 20))
    if any(_ISO.fullmatch(text) for text in few):
        yield ISO
    if any(re.fullmatch("(19|20)[0-9]{6}", text) for text in few):
        yield "yyyyMMdd"
    days = [one.format(mark) for one in _DAYS for mark in "/.-" if any(mark in text for text in few)]
    days += [one for one in _NAMED if any(re.search("[A-Za-z]{3}", text) for text in few)]
    for day in days:
        for year in ("yyyy", "yy"):
            for clock in _CLOCKS if any(":" in text for text in few) else ("",):
                yield day.replace("y", year) + clock


def read(form: str, texts: Iterable[str]) -> dict[str, datetime] | None:
    """The texts that are times of this format; None for a format with other letters than those known here."""
    if form == ISO:
        pattern, parse = _ISO, datetime.fromisoformat
    else:
        if not set(_LETTERS.findall(form)) <= {*_SYNTAX, "yyyyMMdd"}:
            return None
        pieces = ["yyyy", "M", "d"] if form == "yyyyMMdd" else []
        syntax = r"\d{8}" if pieces else _LETTERS.sub(lambda match: _SYNTAX[match[0]], form.replace(".", r"\."))
        python = "%Y%m%d" if pieces else _LETTERS.sub(lambda match: _PYTHON[match[0]], form)
        pattern = re.compile(syntax, re.ASCII)

        def parse(text: str) -> datetime:
            return datetime.strptime(text, python)

    found = {}
    for text in texts:
        if pattern.fullmatch(text):
            try:
                time = parse(text)
            except ValueError:
                continue
            found[text] = time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    return found


def _swapped(form: str) -> set[str]:
    """The format in which day and month are exchanged."""
    swapped = re.sub(r"^(d|M)([/.-])(d|M)\b", r"\3\2\1", form)
    return {swapped} - {form}
