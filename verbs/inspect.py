"""Describes a dataset version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from millstream.tracking.host import terminal_text
from millstream.verbs.terminal import arguments, inspection
from millstream.verbs.terminal.cli import cli
from millstream.verbs.terminal.command import verb


@verb(cli, inspection.inspected)
@click.argument("dataset")
@click.option("--row", metavar="SAMPLE_ID", help="The lineage of one row, back to its source file.")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write a report as one HTML file.")
def inspect(dataset: str, row: str | None, html: Path | None) -> Any:
    """Describe a dataset version: columns, classes, statistics of every split, preparation steps.

    \b
    Example: millstream inspect mnist --html mnist.html
    """
    from millstream.tracking.inspection import look, page

    if row is not None:
        return look.ancestry(arguments.dataset(dataset), row)
    inspected = look.look_at(arguments.dataset(dataset))
    if html is not None:
        page.write(inspected, html)
        terminal_text.say(f"{html} is written")
    return inspected.report()
