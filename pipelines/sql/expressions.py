"""Checks of Spark SQL expressions from a recipe: deterministic values and comparisons, no side effects."""

from __future__ import annotations

from collections.abc import Set

from pyspark.errors import AnalysisException, ParseException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from millstream.pipelines.sql.tokens import Piece, Pieces, pieces
from millstream.pipelines.sql.windows import calls

_RUNS = ("select", "java_method", "reflect", "try_reflect")
_DIFFERS = ("rand", "randn", "random", "uniform", "randstr", "uuid", "shuffle")
_COUNTS = ("monotonically_increasing_id", "spark_partition_id")
_CURRENT_TIME = ("current_date", "current_time", "current_timestamp", "localtimestamp")
_LOOKS_AROUND = ("current_user", "current_catalog", "current_database", "current_schema", "input_file_name")
_ENDS = ("raise_error", "assert_true")
_REFUSED = (*_RUNS, *_DIFFERS, *_COUNTS, *_CURRENT_TIME, *_LOOKS_AROUND, *_ENDS)
_REFUSED_AS_CALLS = frozenset(["now", "curdate", "user", "session_user", "version", "unix_timestamp"])
"""Refused only as a call without arguments: with arguments it is another function, without parentheses a column."""
EVERYTHING = "*"
"""Wildcard among names for all columns."""


def refused_word(expression: str) -> str | None:
    """The first token of an expression that is not allowed in a recipe, or None."""
    read = pieces(expression)
    for piece in read:
        if piece.kind == "comment":
            return piece.text
        word, following = piece.name, "".join(after.text for after in read[piece.at + 1 : piece.at + 3])
        # a name in backticks is a column, unless parentheses follow
        if word in _REFUSED and (piece.word or following.startswith("(")):
            return word
        if word in _REFUSED_AS_CALLS and following == "()":
            return word
    return None


def names_in(expression: str) -> set[str]:
    """All names of columns, functions and types in an expression, in lower case (Spark is case-insensitive).

    Includes EVERYTHING when columns are read without being named: `struct(*)`, `identifier(...)`.
    """
    return _names(pieces(expression))


def own_names_in(expression: str) -> set[str]:
    """Names whose values may be read from the row itself: all except those that windows read only from earlier rows."""
    read = calls(expression)
    earlier = {piece.at for call in read for one in call.looking_back for piece in one}
    return _names(pieces(expression), set() if any(call.is_nested for call in read) else earlier)


def names_in_windows(expression: str) -> set[str]:
    """Names whose values are read from other rows."""
    read = pieces(expression)
    inside = {piece.at for call in calls(expression) for one in call.arguments for piece in one}
    return _names(read, set(range(len(read))) - inside)


def _names(read: Pieces, without: Set[int] = frozenset()) -> set[str]:
    names = set()
    for before, piece, after in zip((None, *read), read, (*read[1:], None), strict=False):
        if piece.at in without:
            continue
        if piece.name:
            names.add(EVERYTHING if piece.word == "identifier" and after and after.sign == "(" else piece.name)
        if piece.sign == "*" and (before is None or before.sign in ("(", ",", ".")) and not _is_count(read, piece):
            names.add(EVERYTHING)
    return names


def _is_count(read: Pieces, star: Piece) -> bool:
    """Whether a star belongs to `count(*)`, which reads no value."""
    around = [piece for piece in read if abs(piece.at - star.at) <= 2]
    return "".join(piece.text for piece in around).lower().startswith("count(*)")


def has_window(expression: str) -> bool:
    """Whether other rows than the row itself are read."""
    return bool(calls(expression))


def reads_all_rows(expression: str) -> bool:
    """Whether a window is unbounded and unpartitioned, so that it holds the rows of every split."""
    return any(call.is_unordered and call.is_of_all for call in calls(expression))


def groups_in(expression: str) -> tuple[frozenset[str], ...]:
    """PARTITION BY columns of each window that reads all rows of a group."""
    return tuple(call.groups for call in calls(expression) if call.is_unordered and not call.is_of_all)


def looks_ahead(expression: str) -> bool:
    """Whether a window may hold rows after the row itself: unordered, descending, or with following rows."""
    return any(call.looks_ahead for call in calls(expression))


def unreadable(frame: DataFrame, expression: str, *, condition: bool = False) -> str | None:
    """Spark's error when an expression cannot be analyzed over the columns of a frame; None when it can."""
    try:
        if condition:
            frame.where(F.expr(expression))
        else:
            frame.select(F.expr(expression))
    except (AnalysisException, ParseException) as error:
        return next((line for line in str(error).splitlines() if line.strip()), "not an expression")
    return None
