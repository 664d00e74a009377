"""Texts as token numbers and back: characters, words, or subwords by learned merges. Needs no package for any of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

from millstream.tracking.dataset.records import Step

PADDING, UNKNOWN, BEGIN, END = "(pad)", "(unknown)", "(begin)", "(end)"
SPACE = "\u2581"
"""Stands at the begin of each subword word, so that words can be told apart again."""
_WORD = re.compile(r"\w+|[^\w\s]")
_STRANGE = "\ufffd"
MAKERS = ("encode", "tokenize")
"""The steps that make tokens of texts."""
_CHARACTERS = {"by": "characters", "merges": (), "begin": False, "end": False}
"""What the step `encode` knows of texts, and does not write down."""


def normal(text: Any, *, lower: bool) -> str:
    """A text without white space at its ends, in lower case if so asked; a missing one is empty."""
    if not isinstance(text, str):
        return ""
    return text.strip().lower() if lower else text.strip()


def learned_of(column: str, steps: Iterable[Step]) -> Mapping[str, Any] | None:
    """What the first of `steps` that makes tokens of a column of texts has learned; None where none does."""
    learned = (step.learned.get(column) for step in steps if step.name in MAKERS)
    return next((one for one in learned if one is not None and "to" in one), None)


def words(text: str) -> list[str]:
    """Runs of letters and digits, and each other sign by itself."""
    return _WORD.findall(text)


def spaced(text: str) -> list[str]:
    """What stands between white space, each with the mark of a word's begin."""
    return [SPACE + word for word in text.split()]


def merged(word: str, ranks: Mapping[tuple[str, str], int]) -> list[str]:
    """The pieces of a word after all merges that apply, the first learned first (Sennrich et al. 2016, 1508.07909)."""
    pieces = list(word)
    while len(pieces) > 1:
        pairs = [(ranks.get((one, other), len(ranks)), at) for at, (one, other) in enumerate(pairwise(pieces))]
        rank, at = min(pairs)
        if rank == len(ranks):
            break
        pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]
    return pieces


@dataclass(frozen=True)
class Reader:
    """Reads texts as the step `tokenize`, or `encode` with `method: characters`, has learned to."""

    by: str
    vocabulary: tuple[str, ...]
    merges: tuple[tuple[str, str], ...]
    lower: bool
    longest: int
    begin: bool
    end: bool

    @classmethod
    def of(cls, learned: Mapping[str, Any]) -> Reader:
        learned = {**_CHARACTERS, **learned}
        options = {name: learned[name] for name in ("by", "lower", "longest", "begin", "end")}
        merges = tuple((one, other) for one, other in learned["merges"])
        return cls(vocabulary=tuple(learned["vocabulary"]), merges=merges, **options)

    def pieces(self, text: Any) -> list[str]:
        """The text's tokens as texts, however many, without markers."""
        plain = normal(text, lower=self.lower)
        if self.by == "characters":
            return list(plain)
        return words(plain) if self.by == "words" else [one for word in spaced(plain) for one in self._merged(word)]

    def numbers(self, text: Any) -> list[int]:
        """Token numbers, at most `longest` with the markers; 1 for a token that is not in the vocabulary."""
        room = self.longest - self.begin - self.end
        found = [self._numbers.get(piece, 1) for piece in self.pieces(text)[:room]]
        return [*self._marker(BEGIN, self.begin), *found, *self._marker(END, self.end)]

    def text(self, numbers: Iterable[int]) -> str:
        """A text that has these token numbers again; a strange sign stands for an unknown token."""
        plain = [self.vocabulary[at] if at != 1 else _STRANGE for at in numbers]
        plain = [piece for piece in plain if piece not in (PADDING, BEGIN, END)]
        joined = (" " if self.by == "words" else "").join(plain)
        return joined.replace(SPACE, " ").strip() if self.by == "subwords" else joined

    def _marker(self, marker: str, wanted: bool) -> list[int]:
        return [self._numbers[marker]] if wanted else []

    def _merged(self, word: str) -> list[str]:
        # words come again and again: each is merged once
        if word not in self._known:
            self._known[word] = merged(word, self._ranks)
        return self._known[word]

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {token: at for at, token in enumerate(self.vocabulary)}

    @cached_property
    def _ranks(self) -> dict[tuple[str, str], int]:
        return {pair: at for at, pair in enumerate(self.merges)}

    @cached_property
    def _known(self) -> dict[str, list[str]]:
        return {}
