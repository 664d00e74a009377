"""Escapes control characters in data that is printed to a terminal."""

from __future__ import annotations

import re

import click

_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters except tab and newline, and bidirectional overrides."""


def printable(text: str) -> str:
    """The text with control characters escaped, such as \\x1b."""
    return _OBEYED.sub(lambda match: ascii(match[0])[1:-1], text)


def say(message: str) -> None:
    click.echo(printable(message), err=True)
