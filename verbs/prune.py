"""Removes unreferenced dataset versions."""

from __future__ import annotations

from typing import Any

import click

from millstream.verbs.terminal import arguments, preparation
from millstream.verbs.terminal.cli import cli
from millstream.verbs.terminal.command import verb


@verb(cli, preparation.pruned)
@click.argument("dataset", required=False)
@click.option(
    "--keep",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Newest versions of each dataset that are kept.",
)
@click.option("--yes", is_flag=True, help="Remove them; without it, a dry run.")
def prune(dataset: str | None, keep: int, yes: bool) -> Any:
    """Remove dataset versions that no run, model, other version or `latest` references.

    \b
    Example: millstream prune mnist --keep 3
    """
    from millstream.pipelines.publish.prune import prune as tidy

    return tidy(arguments.workplace(), dataset, keep=keep, yes=yes)
