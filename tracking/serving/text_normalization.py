"""Normal form of categories and labels, and detection of lookalikes."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

_INVISIBLE = "\u180e\u200b\u200c\u200d\u2060\ufeff"
_BLANKS = "".join(chr(at) for at in range(0x3001) if chr(at).isspace()) + _INVISIBLE
_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"
_LETTERS = {
    "\u0430\u0432\u0441\u0435\u04bb\u0456\u0458\u043a": "abcehijk",
    "\u043c\u043d\u043e\u0440\u0455\u0442\u0443\u0445": "mhopstyx",
    "\u03b1\u03b2\u03b5\u03b9\u03ba\u03bd\u03bf\u03c1\u03c4\u03c5\u03c7": "abeiknoptux",
    "\u2018\u2019\u02bc\u201c\u201d": "'''\"\"",
}
"""Lower-case letters of Cyrillic and Greek, and quotes, with their ASCII lookalikes."""
_LOOKALIKES = str.maketrans(
    "".join(_LETTERS) + _DASHES, "".join(_LETTERS.values()) + "-" * len(_DASHES), _INVISIBLE + "\u00ad"
)


def normal_form(text: str) -> str:
    """Unicode NFC, stripped of blanks, including no-break, wide and invisible ones."""
    if text.isascii():
        return text.strip()
    return unicodedata.normalize("NFC", text).strip(_BLANKS)


def skeleton(text: str) -> str:
    """Key shared by texts that differ only in case, blanks, or lookalike characters."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(unicodedata.normalize("NFC", folded).translate(_LOOKALIKES).split())


def alike(texts: Iterable[str]) -> list[list[str]]:
    """Groups of distinct texts that look alike, each sorted."""
    groups: dict[str, list[str]] = {}
    for text in sorted(set(texts)):
        groups.setdefault(skeleton(text), []).append(text)
    return [group for group in groups.values() if len(group) > 1]
