"""The window functions of a Spark SQL expression: which rows they read, and whether the row itself is among them.

This is no SQL parser, and it is conservative: a frame or an offset that is not recognized as looking back is taken to
read the row itself and rows after it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from millstream.pipelines.sql.tokens import Pieces, bare, brackets, listed, pieces

_CLAUSES = {
    "partition": "partition",
    "distribute": "partition",
    "cluster": "partition",
    "order": "order",
    "sort": "order",
}
_FRAME_STARTS = ("between", "unbounded", "current", "interval")
_LITERALS = ("null", "true", "false", "interval", "as")
_DIRECTIONS = ("asc", "desc", "nulls", "first", "last")
_AMOUNT = r"\d+(?: ?\. ?\d+)?(?: [a-z]+(?: \d+ [a-z]+)*)?"
_END = re.compile(rf"(?:rows|range) between .+ and (?:(?:interval )?({_AMOUNT}) preceding|current row)")
_SHORT = re.compile(rf"(?:rows|range) (?:unbounded preceding|current row|(?:interval )?{_AMOUNT} preceding)")


@dataclass(frozen=True)
class Call:
    """`function(arguments) OVER (PARTITION BY partition ORDER BY order frame)`."""

    function: str
    """Lower case; empty if it was not recognized, and then the call has no arguments."""
    arguments: tuple[Pieces, ...]
    partition: tuple[Pieces, ...]
    order: tuple[Pieces, ...]
    frame: str
    """Lower case, tokens separated by one space; empty for the default frame."""

    @property
    def looking_back(self) -> tuple[Pieces, ...]:
        """Arguments that are computed only from rows before the row itself."""
        if self.function == "lead":
            return ()
        if self.function == "lag":  # the third argument (default) is read from the row itself
            return self.arguments[:1] if (self._offset or 0) > 0 else ()
        end = _END.fullmatch(self.frame)
        return self.arguments if end and re.search("[1-9]", end[1] or "") else ()

    @property
    def is_nested(self) -> bool:
        """Whether an argument contains another window; Spark refuses that."""
        return any(piece.word == "over" for one in self.arguments for piece in one)

    @property
    def looks_ahead(self) -> bool:
        """Whether rows after the row itself may be read: by `lead`, unordered, in descending order, or by a frame."""
        if self.is_unordered or any(piece.word == "desc" for one in self.order for piece in one[1:]):
            return True
        if self.function in ("lag", "lead"):
            return self.function == "lead" or self._offset is None
        return bool(self.frame) and not (_END.fullmatch(self.frame) or _SHORT.fullmatch(self.frame))

    @property
    def is_of_all(self) -> bool:
        """Whether the window is unpartitioned."""
        return all(map(_is_constant, self.partition))

    @property
    def is_unordered(self) -> bool:
        """Whether each row reads its whole partition."""
        whole = "between unbounded preceding and unbounded following" in self.frame
        return whole or all(map(_is_constant, self.order))

    @property
    def groups(self) -> frozenset[str]:
        """Plain columns in PARTITION BY, in lower case: rows of one window have equal values in each."""
        return frozenset(one[0].name for one in self.partition if len(one) == 1 and one[0].name)

    @property
    def _offset(self) -> int | None:
        """Offset of `lag` in rows; None if it is no literal number."""
        if len(self.arguments) < 2:
            return 1
        offset = self.arguments[1]
        return int(offset[0].word) if len(offset) == 1 and offset[0].word.isdecimal() else None


def calls(expression: str) -> tuple[Call, ...]:
    """All window functions of an expression."""
    return tuple(_calls(pieces(expression)))


def _calls(read: Pieces) -> Iterator[Call]:
    closing = brackets(read)
    opening = {last: first for first, last in closing.items()}
    for over in read[:-1]:
        if over.word != "over" or over.at + 1 not in closing:
            continue
        last = over.at - 1
        if last > 0 and read[last].word == "nulls" and read[last - 1].word in ("ignore", "respect"):
            last -= 2
        first = opening.get(last, 0)
        function = read[first - 1].name if first else ""
        arguments = listed(read[first + 1 : last]) if function else ()
        yield Call(function, arguments, *_clauses(read[over.at + 2 : closing[over.at + 1]]))


def _clauses(window: Pieces) -> tuple[tuple[Pieces, ...], tuple[Pieces, ...], str]:
    """Items of PARTITION BY and of ORDER BY, and the frame; tokens before them are counted as part of the frame."""
    starts, outer = [(0, 0, "frame")], list(bare(window))
    first = window[0].at if window else 0
    for piece, following in itertools.pairwise(outer):
        at = piece.at - first
        if piece.word in _CLAUSES and following.word == "by":
            starts.append((at, at + 2, _CLAUSES[piece.word]))
        elif piece.word in ("rows", "range") and _starts_frame(following.word):
            starts.append((at, at, "frame"))
    clauses: dict[str, Pieces] = {"partition": (), "order": (), "frame": ()}
    for (_, start, clause), (end, _, _) in zip(starts, [*starts[1:], (len(window), 0, "")], strict=True):
        clauses[clause] = [*clauses[clause], *window[start:end]]
    return listed(clauses["partition"]), listed(clauses["order"]), _frame(clauses["frame"])


def _starts_frame(word: str) -> bool:
    return word in _FRAME_STARTS or word.isdecimal()


def _frame(read: Pieces) -> str:
    """The frame as one text; a quoted interval without its quotes."""
    texts = (piece.text.lower() for piece in read)
    return " ".join(text[1:-1] if re.fullmatch(f"['\"]{_AMOUNT}['\"]", text) else text for text in texts)


def _is_constant(item: Pieces) -> bool:
    """Whether no column is named: only literals and functions of them."""
    for before, piece, after in zip((None, *item), item, (*item[1:], None), strict=False):
        is_direction = before is not None and (piece.word in _DIRECTIONS or before.word == "as")
        is_called = after is not None and (after.sign == "(" or after.kind == "text")  # date '2020-01-01', too
        is_number = piece.word[:1].isdecimal()
        if piece.name and not (is_number or is_direction or is_called or piece.word in _LITERALS):
            return False
    return True
