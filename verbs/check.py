"""Validates a recipe or a study."""

from __future__ import annotations

from typing import Any

import click

from millstream.experiments import check_recipe
from millstream.verbs.terminal import preparation
from millstream.verbs.terminal.cli import cli
from millstream.verbs.terminal.command import Answer, verb
from millstream.verbs.terminal.options import recipe_options


@verb(cli, preparation.checked)
@recipe_options
@click.option("--fields", is_flag=True, help="Show every field of task, network and fit: its value and its meaning.")
def check(recipe: str, budget: Any, sets: tuple[str, ...], fields: bool) -> Answer:
    """Report all faults of a recipe or a study at once, without running it.

    \b
    Example: millstream check my/recipe.yaml --set network.channels=[8,16]
    """
    from millstream.tracking.recipe.study import is_study
    from millstream.training.assembly import validate as training_check

    located, faults = (
        check_recipe.checked(recipe, budget, sets)
        if not is_study(recipe)
        else check_recipe.base_of_study(recipe, budget, sets)
    )
    if not faults:
        faults = check_recipe.unfit(located)
    report: dict[str, Any] = {"ok": not faults, "faults": [fault.model_dump() for fault in faults]}
    if fields and not faults:
        report["fields"] = training_check.fields(located)
    return Answer(report, 2 if faults else 0)
