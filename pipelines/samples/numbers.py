"""How numbers are written in texts: currency signs, units, thousands separators, decimal mark."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

CURRENCIES = frozenset(["USD", "EUR", "GBP", "CHF", "JPY", "CNY", "INR", "kr", "Kr", "Fr.", "Rs", "Rs.", "zł", "R$"])
CODE = re.compile(r"[+-]?0[0-9]+")
"""Digits after a leading zero: a postcode or an article number, and no quantity."""
_WRITTEN = re.compile(
    r"(?P<sign>[+-]?) ?(?P<prefix>[^0-9\s.,'+-][^0-9\s,'+-]{0,3})? ?(?P<inner>[+-]?)"
    r"(?P<body>(?:[0-9][0-9.,' \u00a0\u202f]*|\.[0-9]+)(?<![,' ])(?:[eE][+-]?[0-9]+)?)"
    r"\s?(?P<suffix>[^0-9\s.,'+-]\S{0,3})?"
)
_STYLES = (
    (".", "", r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"),
    (".", ",", r"[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]*)?|[0-9]{1,3}(?:\.[0-9]*)?"),
    (",", "", r"(?:[0-9]+,?[0-9]*|,[0-9]+)(?:[eE][+-]?[0-9]+)?"),
    (",", ".", r"[0-9]{1,3}(?:\.[0-9]{3})+(?:,[0-9]*)?|[0-9]{1,3}(?:,[0-9]*)?"),
    *(
        (mark, blank, rf"[0-9]{{1,3}}(?:{blank}[0-9]{{3}})*(?:\{mark}[0-9]*)?")
        for blank in " '\u00a0\u202f"
        for mark in ".,"
    ),
)
"""Decimal mark, thousands separator and syntax, in order of preference."""


@dataclass(frozen=True)
class Numbers:
    """A way to write numbers, and how many texts are written so."""

    prefix: str
    suffix: str
    decimal: str
    thousands: str
    rows: int
    """Rows whose text is such a number."""
    is_whole: bool
    """Whether none of them has a fraction."""
    is_ambiguous: bool
    """Whether another decimal mark reads them all as well, as other numbers: `1,234`."""
    values: Mapping[str, float]
    """The number of each text."""


def numbers_in(counts: Mapping[str, int], usual: str = ".") -> Numbers | None:
    """The way in which most of the texts (with their row counts) are numbers; None where none is one.

    `usual` is the decimal mark where the texts leave it open.
    """
    matches = {text: match for text in counts if (match := _WRITTEN.fullmatch(text))}
    prefix = _common(Counter(m["prefix"] for m in matches.values() if m["prefix"] and _is_currency(m["prefix"])))
    suffix = _common(Counter(m["suffix"] for m in matches.values() if m["suffix"]))
    if suffix and not _is_currency(suffix) and suffix != "%" and not _is_unit(suffix, matches):
        suffix = ""
    bodies = {
        text: (match["sign"] + match["inner"], match["body"])
        for text, match in matches.items()
        if (match["prefix"] or "") in ("", prefix)
        and (match["suffix"] or "") in ("", suffix)
        and not (match["sign"] and match["inner"])
    }
    found = {
        (decimal, thousands): {text for text, (_, body) in bodies.items() if re.fullmatch(syntax, body)}
        for decimal, thousands, syntax in _STYLES
    }
    rows = {style: sum(counts[text] for text in texts) for style, texts in found.items()}
    most = max(rows.values(), default=0)
    if not most:
        return None
    best = [style for style, count in rows.items() if count == most]
    # plain digits fit every style; a comma before three digits fits two
    marks = {decimal for decimal, thousands in best if thousands in ("", ".", ",")}
    grouped = {style for style in best if style[1] in (".", ",") and _has_groups(found[style], bodies, style[1])}
    is_ambiguous = bool(grouped) and len(marks) > 1
    chosen = _chosen(best, grouped, usual)
    values = {text: _number(*bodies[text], *chosen) for text in found[chosen]}
    whole = all(float(one).is_integer() for one in values.values()) and not any(
        chosen[0] in bodies[text][1] or "e" in bodies[text][1].lower() for text in values
    )
    return Numbers(prefix or "", suffix or "", *chosen, most, whole, is_ambiguous, values)


def _chosen(best: list[tuple[str, str]], grouped: set[tuple[str, str]], usual: str) -> tuple[str, str]:
    """Of the styles that fit equally, one with the usual decimal mark; groups count if they are seen."""
    if (usual, "") in best and not any(style[0] == usual for style in grouped):
        return usual, ""
    if grouped:
        return min(grouped, key=lambda style: style[0] != usual)
    return min(best, key=lambda style: (style[1] != "", style[0] != usual))


def _has_groups(texts: set[str], bodies: Mapping[str, tuple[str, str]], mark: str) -> bool:
    return any(mark in bodies[text][1] for text in texts)


def _number(sign: str, body: str, decimal: str, thousands: str) -> float:
    plain = body.replace(thousands, "") if thousands else body
    return float(f"{sign}{plain.replace(decimal, '.')}")


def _common(counts: Counter[str]) -> str:
    return counts.most_common(1)[0][0] if counts else ""


def _is_currency(text: str) -> bool:
    return text in CURRENCIES or any(unicodedata.category(letter) == "Sc" for letter in text)


def _is_unit(suffix: str, matches: Mapping[str, re.Match[str]]) -> bool:
    """Whether nearly all texts end with this one unit, after a blank: `12 km`; `12A` is a code."""
    ends: int = sum(
        (match["suffix"] or "") == suffix and text.endswith(f" {suffix}") for text, match in matches.items()
    )
    return ends >= 0.95 * len(matches) and ends > 1
