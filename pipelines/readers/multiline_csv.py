"""Joins the lines of multi-line CSV rows (quoted values with line breaks, RFC 4180), over lines read in parallel.

A line with an odd number of quotes opens or closes a row: the row that it opens ends at the next such line, if the
lines in between are as many well-formed values as the table has columns, and no more than LONGEST characters.
Otherwise the opening line is a row by itself, and parsing continues after it. So an unclosed quote invalidates only
its own line.

Each task reads a partition of the lines, and where its first row begins depends on the rows before. So there are two
passes: the first summarizes how a partition's lines would close a row and open another (a `Piece`), for any prefix.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

LONGEST = 1 << 20
"""Maximal characters of a multi-line row."""
Line = tuple[str, int]
"""A text and its line number, from 1; a multi-line row is joined by line feeds and has the number of its first line."""
IsRow = Callable[[str], bool]


@dataclass(frozen=True)
class Values:
    """Predicate: whether a text is `count` well-formed values (any number if None), with only blanks around quotes."""

    delimiter: str
    count: int | None = None

    def __call__(self, text: str) -> bool:
        end = re.escape(self.delimiter)
        blanks = "" if self.delimiter == " " else " *"
        value = rf'(?:{blanks}"[^"]*(?:""[^"]*)*"{blanks}|[^"{end}]*)'
        more = "*" if self.count is None else f"{{{self.count - 1}}}"
        return re.fullmatch(f"{value}(?:{end}{value}){more}", text) is not None


@dataclass
class Joiner:
    """Joins lines to rows; `held` are the lines of a row that is still open."""

    is_row: IsRow
    held: list[Line] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._size = _size(self.held)

    def rows(self, lines: Iterable[Line]) -> Iterator[Line]:
        """The rows completed by these lines."""
        for line in lines:
            odd = is_odd(line)
            if odd or self.held:
                yield from self.take(line, odd)
            else:
                yield line

    def take(self, line: Line, odd: bool) -> list[Line]:
        """The rows completed by a line that opens a row, or follows one that does."""
        self.held.append(line)
        self._size += _size([line])
        fits = self._size <= LONGEST
        if len(self.held) == 1 or (fits and not odd):
            return []
        if fits and self.is_row(text := "\n".join(text for text, _ in self.held)):
            certain, self.held = [(text, self.held[0][1])], []
        else:
            last = len(self.held) - odd  # a line that did not close a row may open one
            certain, self.held = self.held[:last], self.held[last:]
        self._size = _size(self.held)
        return certain


@dataclass(frozen=True)
class Piece:
    """Summary of a partition's lines, numbered from 1."""

    lines: int
    head: list[Line] | None = None
    """Lines up to and including the first with an odd number of quotes; None if they are too long for a row."""
    odd: bool = False
    """Whether a line has an odd number of quotes."""
    opened: list[Line] = field(default_factory=list)
    """Open lines after the last one, if the first odd line opened a row."""
    closed: list[Line] = field(default_factory=list)
    """The same, if it closed a row."""

    @classmethod
    def of(cls, lines: Iterator[Line], is_row: IsRow) -> Piece:
        number, size = 0, 0
        head: list[Line] = []
        odd: list[Line] = []
        for line in lines:
            number = line[1]
            if size <= LONGEST:
                head.append(line)
                size += _size([line])
            if is_odd(line):
                odd = [line]
                break
        opened, closed = Joiner(is_row, list(odd)), Joiner(is_row)
        for line in lines:
            number = line[1]
            for joiner in (opened, closed):
                if joiner.held or is_odd(line):
                    joiner.take(line, is_odd(line))
        return cls(number, head if size <= LONGEST else None, bool(odd), opened.held, closed.held)

    def after(self, held: Iterable[Line], before: int, is_row: IsRow) -> list[Line]:
        """Open lines after this partition, given those `held` before it and the number of lines `before` it."""
        joiner = Joiner(is_row, [] if self.head is None else list(held))
        for _ in joiner.rows(_shifted(self.head or [], before)):
            pass
        if not self.odd:
            return joiner.held
        is_closed = self.head is not None and not joiner.held
        return _shifted(self.closed if is_closed else self.opened, before)


def joined(lines: Iterable[Line], is_row: IsRow, held: Iterable[Line] = (), *, ends: bool = True) -> Iterator[Line]:
    """Rows of the lines that follow those `held`; where the file `ends`, each line of an open row is a row."""
    joiner = Joiner(is_row, list(held))
    yield from joiner.rows(lines)
    if ends:
        yield from joiner.held


def is_odd(line: Line) -> bool:
    return line[0].count('"') % 2 == 1


def _size(lines: Iterable[Line]) -> int:
    return sum(len(text) + 1 for text, _ in lines)


def _shifted(lines: Iterable[Line], by: int) -> list[Line]:
    return [(text, number + by) for text, number in lines]
