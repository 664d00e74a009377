"""Runs every combination of a study."""

from __future__ import annotations

from typing import Any

import click

from millstream.experiments import check_recipe
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
@click.option("--fresh", is_flag=True, help="Run all combinations again.")
def study(name: str, budget: Any, sets: tuple[str, ...], master: str | None, fresh: bool) -> Any:
    """Run every combination of a study and plot the results; finished combinations are not run again.

    \b
    Example: millstream study initialisation --budget smoke
    """
    from millstream.experiments.nested_runs import Options
    from millstream.experiments.study import run_study
    from millstream.tracking.errors import WrongRecipe

    located, faults = check_recipe.checked_study(name, budget, sets)
    WrongRecipe.unless_empty(faults)
    options = Options(arguments.workplace(), master=master, fresh=fresh)
    return run_study(located, options, say=terminal_text.say)
