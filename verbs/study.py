"""Runs every combination of a study."""

from __future__ import annotations

from typing import Any

import click

from millstream.experiments import check_recipe
from millstream.experiments.run_recipe import once
from millstream.tracking.host import terminal_text
from millstream.verbs.terminal import arguments, ranking
from millstream.verbs.terminal.cli import cli
from millstream.verbs.terminal.command import verb
from millstream.verbs.terminal.options import budget_option, master_option, sets_option


@verb(cli, ranking.studied)
@click.argument("name")
@budget_option
@sets_option
@master_option
@click.option("--fresh", is_flag=True, help="Run all combinations anew.")
def study(name: str, budget: Any, sets: tuple[str, ...], master: str | None, fresh: bool) -> Any:
    """Run every combination of a study, and draw what came of them; what is finished is not run again.

    \b
    Example: millstream study initialisation --budget smoke
    """
    from millstream.experiments.nested_runs import Hands
    from millstream.experiments.study import run_study
    from millstream.tracking.errors import WrongRecipe

    located, faults = check_recipe.checked_study(name, budget, sets)
    WrongRecipe.unless_empty(faults)
    settings = arguments.workplace()
    options: dict[str, Any] = {"master": master, "devices": 1, "nodes": 1, "fresh": fresh, "register": False}
    hands = Hands(
        find=lambda one: check_recipe.published(one, settings) if one.recipe.data is not None else None,
        once=lambda one, parent: once(one, settings, parent=parent, **options),
    )
    return run_study(located, settings, hands, fresh=fresh, say=terminal_text.say)
