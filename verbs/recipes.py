"""Lists the recipes that are shipped."""

from __future__ import annotations

from typing import Any

import click

from tracking.command import verb
from tracking.tables import preparation
from verbs.group import cli


@verb(cli, preparation.recipes)
@click.option("--family", metavar="NAME", help="Those of one family: cnn, rnn, mlp, classical, generative, rl.")
def recipes(family: str | None) -> list[dict[str, Any]]:
    """List the recipes with their data, budgets and pass marks.

    \b
    Example: millstream recipes --family cnn
    """
    from tracking import parts
    from tracking.faults import WrongRecipe
    from tracking.recipe_file import summaries

    found = summaries()
    families = {one["family"] for one in found}
    if family is not None and family not in families:
        raise WrongRecipe.at(f"--family {family}", f"no recipe is of it; {parts.suggest(family, families)}")
    return [one for one in found if family in (None, one["family"])]
