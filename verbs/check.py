"""Validates a recipe or a study."""

from __future__ import annotations

from typing import Any

import click

from millstream.experiments import check_recipe
from millstream.tracking.errors import BadData, Fault, WrongRecipe
from millstream.verbs.terminal import preparation
from millstream.verbs.terminal.cli import cli
from millstream.verbs.terminal.command import Answer, verb
from millstream.verbs.terminal.options import recipe_options


@verb(cli, preparation.checked)
@recipe_options
@click.option("--fields", is_flag=True, help="Show every field of the recipe's parts: its value and its meaning.")
@click.option("--no-data", is_flag=True, help="Check the recipe alone: no file of its data is read.")
def check(recipe: str, budget: Any, sets: tuple[str, ...], fields: bool, no_data: bool) -> Answer:
    """Report all faults of a recipe or a study at once, without running it; a sample of its data is read.

    A fault stops preparation or training. What a person should look at, such as rows that would be quarantined, is
    printed as well, with the column, the first value, its line and the number of rows.

    \b
    Example: millstream check my/recipe.yaml --set network.channels=[8,16]
    """
    from millstream.tracking.recipe.study import is_study

    checking = check_recipe.base_of_study if is_study(recipe) else check_recipe.checked
    located, faults = checking(recipe, budget, sets)
    doubts: list[Fault] = []
    if not faults:
        faults, doubts = check_recipe.engine_doubts(located)
        faults = faults or check_recipe.unfit(located)
    code = WrongRecipe.exit_code if faults else BadData.exit_code
    if not faults and not no_data:
        faults, more = check_recipe.looked_at(located)
        doubts = [*doubts, *more]
    report: dict[str, Any] = {
        "ok": not faults,
        "faults": [fault.model_dump() for fault in faults],
        "doubts": [doubt.model_dump() for doubt in doubts],
    }
    if fields and not faults:
        report["fields"] = check_recipe.fields(located)
    return Answer(report, code if faults else 0)
