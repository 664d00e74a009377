"""Spark SQL expressions that come from a recipe: values and comparisons, never anything that runs or differs."""

from __future__ import annotations

import re

from pyspark.errors import AnalysisException, ParseException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

_RUNS = ("select", "java_method", "reflect", "try_reflect")
_DIFFERS = ("rand", "randn", "random", "uniform", "randstr", "uuid", "shuffle")
_COUNTS = ("monotonically_increasing_id", "spark_partition_id")
_TELLS_TIME = ("current_date", "current_time", "current_timestamp", "localtimestamp")
_LOOKS_AROUND = ("current_user", "current_catalog", "current_database", "current_schema", "input_file_name")
_ENDS = ("raise_error", "assert_true")
_REFUSED = (*_RUNS, *_DIFFERS, *_COUNTS, *_TELLS_TIME, *_LOOKS_AROUND, *_ENDS)
_REFUSED_AS_CALLS = frozenset(["now", "curdate", "user", "session_user", "version", "unix_timestamp"])
"""What is refused without an argument alone: it is another function with one, and a column without brackets."""
_TOKEN = re.compile(
    r"""(?P<raw>[rR](?:'[^']*'|"[^"]*"))|(?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
    r"""|`(?P<name>(?:[^`]|``)*)`|(?P<comment>--|/\*)|(?P<word>\w+)|(?P<sign>\S)""",
    re.DOTALL,
)
"""Spark SQL in pieces; what is no piece is white space."""
_TEXT = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")
_NAME = re.compile(r"`((?:[^`]|``)*)`|([^\W\d]\w*)")
_OVER = re.compile(r"\bover\s*\(\s*(\))?", re.IGNORECASE)
# a window that ends before the row itself, or a row some places back
_BACK = re.compile(r"\band\s+(?:interval\s+)?'?[1-9]\d*'?\s*\w*\s+preceding\b|\blag\s*\(", re.IGNORECASE)

_AHEAD = re.compile(r"\blead\s*\(|\bfollowing\b", re.IGNORECASE)
_DESCENDING = re.compile(r"\bdesc\b", re.IGNORECASE)
_ORDER = re.compile(r"\border\s+by\b", re.IGNORECASE)


def refused_word(expression: str) -> str | None:
    """The first piece of an expression that has no place in a recipe, or None."""
    pieces = list(_TOKEN.finditer(expression))
    after = ["".join(piece[0] for piece in pieces[at + 1 : at + 3]) for at in range(len(pieces))]
    for piece, following in zip(pieces, after, strict=True):
        if piece["comment"]:
            return piece[0]
        word = (piece["word"] or piece["name"] or "").lower()
        called = following.startswith("(")
        # a name in backticks is a column, unless it is called
        if word in _REFUSED and (piece["word"] or called):
            return word
        if word in _REFUSED_AS_CALLS and following == "()":
            return word
    return None


def names_in(expression: str) -> set[str]:
    """All names of an expression, of columns, functions and types, in lower case: Spark tells no cases apart."""
    found = _NAME.findall(_TEXT.sub(" ", expression))
    return {(quoted.replace("``", "`") or plain).lower() for quoted, plain in found}


def has_window(expression: str) -> bool:
    """Whether other rows than its own are read."""
    return _OVER.search(_TEXT.sub(" ", expression)) is not None


def reads_all_rows(expression: str) -> bool:
    """Whether a window has no bounds at all, so that the rows of every split are in it."""
    return any(found[1] for found in _OVER.finditer(_TEXT.sub(" ", expression)))


def looks_back(expression: str) -> bool:
    """Whether a window leaves its own row out and ends before it."""
    return _BACK.search(expression) is not None


def looks_ahead(expression: str) -> bool:
    """Whether a window may hold rows that come after its own: unordered, in falling order, or reaching forward."""
    plain = _TEXT.sub(" ", expression)
    windows = [_to_closing(plain[found.end(0) :]) for found in _OVER.finditer(plain)]
    unordered = any(not _ORDER.search(window) or _DESCENDING.search(window) for window in windows)
    return unordered or _AHEAD.search(plain) is not None


def _to_closing(text: str) -> str:
    """What stands before the bracket that closes one opened before the text."""
    open_ones = 1
    for at, sign in enumerate(text):
        open_ones += {"(": 1, ")": -1}.get(sign, 0)
        if not open_ones:
            return text[:at]
    return text


def unreadable(frame: DataFrame, expression: str, *, condition: bool = False) -> str | None:
    """Why an expression cannot be computed over the columns of a frame, in Spark's words; None when it can."""
    try:
        if condition:
            frame.where(F.expr(expression))
        else:
            frame.select(F.expr(expression))
    except (AnalysisException, ParseException) as error:
        return next((line for line in str(error).splitlines() if line.strip()), "not an expression")
    return None
