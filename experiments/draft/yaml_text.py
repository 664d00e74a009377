"""Writes the parts of a drafted recipe as YAML, with comments."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029\ufeff]+")
LONGEST_COMMENT = 110


@dataclass(frozen=True)
class Decision:
    """What was decided about a column, or another part of the recipe, and why."""

    what: str
    decided: str
    why: str


@dataclass(frozen=True)
class Draft:
    """A drafted recipe: its text, the decisions in it, and what a person should look at."""

    task: str
    network: str
    text: str
    decisions: tuple[Decision, ...]
    doubts: tuple[str, ...]


def plain(value: Any) -> str:
    """A value in flow style, on one line; strings are quoted where YAML would read something else."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{plain(name)}: {plain(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(plain, value)) + "]"
    if not isinstance(value, str):
        return json.dumps(value)
    if re.fullmatch(r"[A-Za-z][\w./-]*", value, re.ASCII) and yaml.safe_load(value) == value:
        return value
    quoted = json.dumps(value, ensure_ascii=False)
    try:
        is_same = yaml.safe_load(quoted) == value
    except yaml.YAMLError:
        is_same = False
    return quoted if is_same else json.dumps(value)


def comment(text: str) -> str:
    """A comment on one line."""
    line = _CONTROL.sub(" ", text)
    return line if len(line) <= LONGEST_COMMENT else f"{line[: LONGEST_COMMENT - 1]}…"


def commented(lines: Sequence[tuple[str, str]], indent: str) -> list[str]:
    """Lines with their comments aligned; a line without text is a comment alone."""
    width = min(60, max((len(text) for text, why in lines if why and text), default=0))
    return [
        f"{indent}{text:<{width}}  # {comment(why)}".rstrip()
        if text and why
        else f"{indent}{text or '# ' + comment(why)}"
        for text, why in lines
    ]
