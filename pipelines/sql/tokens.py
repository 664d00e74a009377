"""Tokenizer for Spark SQL: words, quoted names, string literals and signs, as in Spark's lexer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

_PIECE = re.compile(
    r"""(?P<raw>[rR](?:'[^']*'|"[^"]*"))|(?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
    r"""|`(?P<name>(?:[^`]|``)*)`|(?P<comment>--|/\*)|(?P<word>\w+)|(?P<sign>\S)""",
    re.DOTALL,
)
"""Everything else is whitespace."""
_DEPTH = {"(": 1, "[": 1, ")": -1, "]": -1}


class Piece(NamedTuple):
    at: int
    """Index among the tokens of the expression."""
    kind: str
    text: str
    """Source text; for a name in backticks the name."""

    @property
    def word(self) -> str:
        """Lower case; empty if the token is no plain word."""
        return self.text.lower() if self.kind == "word" else ""

    @property
    def sign(self) -> str:
        return self.text if self.kind == "sign" else ""

    @property
    def name(self) -> str:
        """Possible name of a column, function or type, in lower case (Spark is case-insensitive)."""
        return self.text.lower() if self.kind == "name" else "" if self.word.isdecimal() else self.word


Pieces = Sequence[Piece]


def pieces(expression: str) -> tuple[Piece, ...]:
    """All tokens of an expression."""
    found = []
    for at, match in enumerate(_PIECE.finditer(expression)):
        kind = str(match.lastgroup)
        found.append(Piece(at, kind, match[kind].replace("``", "`") if kind == "name" else match[kind]))
    return tuple(found)


def bare(read: Pieces) -> Iterator[Piece]:
    """Tokens outside of all brackets, without the brackets."""
    depth = 0
    for piece in read:
        depth += _DEPTH.get(piece.sign, 0)
        if not depth and piece.sign not in _DEPTH:
            yield piece


def listed(read: Pieces) -> tuple[Pieces, ...]:
    """Tokens split at the commas outside of all brackets; empty for no tokens."""
    if not read:
        return ()
    commas = [piece.at - read[0].at for piece in bare(read) if piece.sign == ","]
    ends = zip([0, *(at + 1 for at in commas)], [*commas, len(read)], strict=True)
    return tuple(read[first:last] for first, last in ends)


def brackets(read: Pieces) -> dict[int, int]:
    """Index of each opening bracket, mapped to that of its closing bracket."""
    pairs, opened = {}, []
    for piece in read:
        depth = _DEPTH.get(piece.sign, 0)
        if depth > 0:
            opened.append(piece.at)
        elif depth < 0 and opened:
            pairs[opened.pop()] = piece.at
    return pairs
