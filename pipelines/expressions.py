"""Spark SQL expressions that come from a recipe: values and comparisons, never anything that runs or differs."""

from __future__ import annotations

import re

from pyspark.errors import AnalysisException, ParseException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

_RUNS = ("select", "java_method", "reflect", "try_reflect")
_DIFFERS = ("rand", "randn", "random", "uuid", "shuffle", "monotonically_increasing_id", "spark_partition_id")
_LOOKS_AROUND = ("now", "current_date", "current_timestamp", "current_user", "input_file_name", "unix_timestamp")
_WORD = re.compile(r"[a-z_]+")
_TEXT = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")
_NAME = re.compile(r"`((?:[^`]|``)*)`|([^\W\d]\w*)")
_OVER = re.compile(r"\bover\s*\(\s*(\))?", re.IGNORECASE)
# a window that ends before the row itself, or a row some places back
_BACK = re.compile(r"\band\s+(?:interval\s+)?'?[1-9]\d*'?\s*\w*\s+preceding\b|\blag\s*\(", re.IGNORECASE)


def refused_word(expression: str) -> str | None:
    """The first word of an expression that has no place in a recipe, or None."""
    unquoted = re.sub(r"'(?:[^'\\]|\\.)*'|`[^`]*`", " ", expression.lower())
    words = _WORD.findall(unquoted)
    alone = [word for word in words if word in _RUNS or word in _DIFFERS]
    # these stand for something else with an argument or as a column
    alone += [word for word in _LOOKS_AROUND if re.search(rf"\b{word}\s*\(\s*\)|\bcurrent_\w+", unquoted)]
    return alone[0] if alone else None


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
