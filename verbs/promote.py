"""Moves an alias of a registered model."""

from __future__ import annotations

from typing import Any

import click

from millstream.verbs.terminal import arguments, training
from millstream.verbs.terminal.cli import cli
from millstream.verbs.terminal.command import verb


@verb(cli, training.promoted)
@click.argument("model")
@click.option("--to", "alias", metavar="ALIAS", default="champion", show_default=True, help="The alias to move.")
@click.option("--back", is_flag=True, help="Move it back to the version that held it before; MODEL is then a NAME.")
@click.option("--why", required=True, metavar="TEXT", help="The reason, which is kept on the version.")
def promote(model: str, alias: str, back: bool, why: str) -> Any:
    """Give an alias to a model version, models:/NAME/VERSION; or with --back to the one that held it before.

    The reason, the time and the MLflow user are kept on the version. A champion by hand stays until a model that
    qualifies has better figures on the same test split.

    \b
    Example: millstream promote models:/cnn.lenet-digits/3 --why "fewer mistakes on sevens"
             millstream promote cnn.lenet-digits --back --why "slower than it was"
    """
    from millstream.tracking.runs.aliases import promote, promote_back

    move = promote_back if back else promote
    return move(model, alias, why, arguments.workplace())
