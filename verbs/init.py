"""Drafts a recipe for one's own data."""

from __future__ import annotations

from typing import Any

import click

from millstream.verbs.terminal import preparation
from millstream.verbs.terminal.cli import cli
from millstream.verbs.terminal.command import verb


@verb(cli, preparation.drafted)
@click.argument("path")
@click.option("--target", metavar="COLUMN", help="The column to predict; default: the likeliest, with the reason.")
@click.option("--to", metavar="FILE", help="The recipe to write; default: named after the data, in this folder.")
def init(path: str, target: str | None, to: str | None) -> Any:
    """Look at one's own data and write a commented recipe for it, which runs as it is.

    PATH is a table (CSV, TSV, JSON lines, Parquet), a folder with a subfolder of images or texts for each class, or
    files of texts. What was decided about each column is printed, and what a person should look at. No file is
    overwritten.

    \b
    Example: millstream init data/customers.csv --target left
             millstream run customers.yaml --budget smoke
    """
    from millstream.experiments.draft.own_data import drafted

    file, draft = drafted(path, target, to)
    return {
        "recipe": str(file),
        "task": draft.task,
        "network": draft.network,
        "decisions": [vars(one) for one in draft.decisions],
        "doubts": list(draft.doubts),
    }
