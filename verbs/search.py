"""Looks for the best values of a recipe's fields. It is not there yet, and says so."""

from __future__ import annotations

import sys

import click

from verbs import asked
from verbs.group import cli


@cli.command(context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1)
def search(words: tuple[str, ...]) -> None:
    """Hyper-parameter search. Not yet: it comes with a later version."""
    asked.say("search: not yet; it comes with a later version of Millstream")
    sys.exit(2)
