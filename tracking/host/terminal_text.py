"""Text from data in a terminal: shown, never obeyed."""

from __future__ import annotations

import re

import click

_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters but for tab and line end, and those that turn the direction of what follows."""


def printable(text: str) -> str:
    """The text with what a terminal would obey written out, such as \\x1b."""
    return _OBEYED.sub(lambda found: ascii(found[0])[1:-1], text)


def say(told: str) -> None:
    click.echo(printable(told), err=True)
