"""Lists the shipped recipes."""

from __future__ import annotations

from typing import Any

import click

from millstream.verbs.terminal import preparation
from millstream.verbs.terminal.cli import cli
from millstream.verbs.terminal.command import verb


@verb(cli, preparation.recipes)
@click.option("--family", metavar="NAME", help="Only one family: cnn, rnn, mlp, classical, generative, rl.")
def recipes(family: str | None) -> list[dict[str, Any]]:
    """List the recipes with their data, budgets and pass marks.

    \b
    Example: millstream recipes --family cnn
    """
    from millstream.tracking.errors import WrongRecipe
    from millstream.tracking.recipe import plugins
    from millstream.tracking.recipe.loader import summaries

    listed = summaries()
    families = {recipe["family"] for recipe in listed}
    if family is not None and family not in families:
        raise WrongRecipe.at(f"--family {family}", f"no recipe is of it; {plugins.suggest(family, families)}")
    return [recipe for recipe in listed if family in (None, recipe["family"])]
