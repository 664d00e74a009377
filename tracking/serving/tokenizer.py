"""Tokenization and detokenization (characters, words, or BPE subwords), without dependencies."""

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
"""Prefix of the first piece of a word, so that words can be separated again."""
_WORD = re.compile(r"\w+|[^\w\s]")
_STRANGE = "\ufffd"
MAKERS = ("encode", "tokenize")
"""Steps that tokenize texts."""
_CHARACTERS = {"by": "characters", "merges": (), "begin": False, "end": False}
"""Defaults for the step `encode`, which does not record them."""


def normal(text: Any, *, lower: bool) -> str:
    """A text with white space stripped, lower-cased if `lower`; a missing one is empty."""
    if not isinstance(text, str):
        return ""
    return text.strip().lower() if lower else text.strip()


def learned_of(column: str, steps: Iterable[Step]) -> Mapping[str, Any] | None:
    """What the first tokenizing step of a text column has learned; None if there is none."""
    learned = (step.learned.get(column) for step in steps if step.name in MAKERS)
    return next((candidate for candidate in learned if candidate is not None and "to" in candidate), None)


def words(text: str) -> list[str]:
    """Runs of letters and digits; every other character is its own word."""
    return _WORD.findall(text)


def spaced(text: str) -> list[str]:
    """Words separated by white space, each with the word prefix."""
    return [SPACE + word for word in text.split()]


def merged(word: str, ranks: Mapping[tuple[str, str], int]) -> list[str]:
    """Subwords of a word after all merges that apply, in learned order (BPE, Sennrich et al. 2016, 1508.07909)."""
    pieces = list(word)
    while len(pieces) > 1:
        pairs = [(ranks.get((left, right), len(ranks)), at) for at, (left, right) in enumerate(pairwise(pieces))]
        rank, at = min(pairs)
        if rank == len(ranks):
            break
        pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]
    return pieces


@dataclass(frozen=True)
class Reader:
    """Tokenizer as learned by the step `tokenize`, or `encode` with `method: characters`."""

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
        merges = tuple((left, right) for left, right in learned["merges"])
        return cls(vocabulary=tuple(learned["vocabulary"]), merges=merges, **options)

    def pieces(self, text: Any) -> list[str]:
        """The text's tokens as strings, untruncated, without markers."""
        plain = normal(text, lower=self.lower)
        if self.by == "characters":
            return list(plain)
        return words(plain) if self.by == "words" else [piece for word in spaced(plain) for piece in self._merged(word)]

    def numbers(self, text: Any) -> list[int]:
        """Token ids, at most `longest` including markers; 1 for a token not in the vocabulary."""
        room = self.longest - self.begin - self.end
        tokens = [self._numbers.get(piece, 1) for piece in self.pieces(text)[:room]]
        return [*self._marker(BEGIN, self.begin), *tokens, *self._marker(END, self.end)]

    def text(self, numbers: Iterable[int]) -> str:
        """A text that encodes to these token ids; unknown tokens become U+FFFD."""
        plain = [self.vocabulary[at] if at != 1 else _STRANGE for at in numbers]
        plain = [piece for piece in plain if piece not in (PADDING, BEGIN, END)]
        joined = (" " if self.by == "words" else "").join(plain)
        return joined.replace(SPACE, " ").strip() if self.by == "subwords" else joined

    def _marker(self, marker: str, wanted: bool) -> list[int]:
        return [self._numbers[marker]] if wanted else []

    def _merged(self, word: str) -> list[str]:
        # words recur: merge each once
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
