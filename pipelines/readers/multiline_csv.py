"""Rows of CSV with values in quotes that go on over several lines (RFC 4180), out of lines that many tasks read.

A line with an odd number of quotes opens a row, or closes one: the row that it opens ends at the next such line, if the
lines from here to there are as many well-formed values as the table has columns, and no more than LONGEST characters.
If they are not, the line that opened stands alone, and reading goes on behind it. So a quote that is never closed costs
its own line and no other.

Each task reads lines of its own, and what a row needs of those before depends on where the rows before it ended. So the
tasks look twice: first each tells how its lines would end a row and begin another (a `Piece`), whatever stands before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

LONGEST = 1 << 20
"""Characters of a row that goes on over several lines."""
Line = tuple[str, int]
"""A text and its number, from 1; lines of a row are joined by line feeds, and it has the number of the first."""
IsRow = Callable[[str], bool]


@dataclass(frozen=True)
class Values:
    """Tells whether a text is so many values (or any number of them), with nothing but blanks around their quotes."""

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
    """Joins lines to rows. Those that are `held` have opened a row that is not closed yet."""

    is_row: IsRow
    held: list[Line] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._size = _size(self.held)

    def rows(self, lines: Iterable[Line]) -> Iterator[Line]:
        """The rows that are certain by these lines."""
        for line in lines:
            odd = is_odd(line)
            if odd or self.held:
                yield from self.take(line, odd)
            else:
                yield line

    def take(self, line: Line, odd: bool) -> list[Line]:
        """The rows that are certain by a line that opens one, or stands behind one that does."""
        self.held.append(line)
        self._size += _size([line])
        fits = self._size <= LONGEST
        if len(self.held) == 1 or (fits and not odd):
            return []
        if fits and self.is_row(text := "\n".join(text for text, _ in self.held)):
            certain, self.held = [(text, self.held[0][1])], []
        else:
            last = len(self.held) - odd  # what did not close a row may open one
            certain, self.held = self.held[:last], self.held[last:]
        self._size = _size(self.held)
        return certain


@dataclass(frozen=True)
class Piece:
    """What a task has seen of its lines, which it numbers from 1."""

    lines: int
    head: list[Line] | None = None
    """Those up to the first with an odd number of quotes, and with it; None where they are too long for a row."""
    odd: bool = False
    """Whether there is such a line."""
    opened: list[Line] = field(default_factory=list)
    """What is held behind the last line, if that odd one opened a row."""
    closed: list[Line] = field(default_factory=list)
    """And if it closed one."""

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
        """What is held behind these lines, if `held` is what was before them, and so many lines of the file were."""
        joiner = Joiner(is_row, [] if self.head is None else list(held))
        for _ in joiner.rows(_shifted(self.head or [], before)):
            pass
        if not self.odd:
            return joiner.held
        is_closed = self.head is not None and not joiner.held
        return _shifted(self.closed if is_closed else self.opened, before)


def joined(lines: Iterable[Line], is_row: IsRow, held: Iterable[Line] = (), *, ends: bool = True) -> Iterator[Line]:
    """The rows of lines that stand behind those `held`; what is not closed stands alone where the file `ends`."""
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
