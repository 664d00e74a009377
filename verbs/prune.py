"""Removes dataset versions that nothing names."""

from __future__ import annotations

from typing import Any

import click

from tracking.command import verb
from tracking.tables import preparation
from verbs import asked
from verbs.group import cli


@verb(cli, preparation.pruned)
@click.argument("dataset", required=False)
@click.option("--keep", type=click.IntRange(1), default=1, show_default=True, help="The newest of each dataset stay.")
@click.option("--yes", is_flag=True, help="Remove them; without it, it is only told what would go.")
def prune(dataset: str | None, keep: int, yes: bool) -> Any:
    """Remove dataset versions that no run, no model, no other version and no `latest` names.

    \b
    Example: millstream prune mnist --keep 3
    """
    from pipelines.prune import prune as tidy

    return tidy(asked.workplace(), dataset, keep=keep, yes=yes)
