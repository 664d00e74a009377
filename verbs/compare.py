"""Ranks models on one dataset version."""

from __future__ import annotations

from typing import Any

import click

from millstream.experiments import check_recipe
from millstream.experiments.run_recipe import once
from millstream.tracking.host import terminal_text
from millstream.verbs.terminal import arguments, ranking
from millstream.verbs.terminal.cli import cli
from millstream.verbs.terminal.command import verb


@verb(cli, ranking.compared)
@click.argument("named", nargs=-1, metavar="[RECIPE|MODEL]...")
@click.option("--metric", metavar="NAME", help="Metric to rank by: accuracy, auc, rmse ...; default: the task's first.")
@click.option("--budget", type=click.Choice(["smoke", "cpu", "full"]), help="Only runs of this budget.")
@click.option("--train", "missing", is_flag=True, help="First run the recipes that have no finished run.")
def compare(named: tuple[str, ...], metric: str | None, budget: Any, missing: bool) -> Any:
    """Rank the newest models of recipes on one dataset version, with significance tests of the differences.

    Each model is loaded and evaluated again on the same test rows. A registered model is named by its URI. Without
    a name, all recipes that have runs on the same dataset version are ranked together.

    \b
    Example: millstream compare classical/tree-mnist classical/forest-mnist --train
             millstream compare models:/cnn.lenet-mnist@champion models:/cnn.lenet-mnist/7
    """
    from millstream.experiments.compare import compare as rank
    from millstream.tracking.comparison.finished_runs import newest
    from millstream.tracking.runs.aliases import MODEL

    settings = arguments.workplace()
    models = [name for name in named if name.startswith(MODEL)]
    located = [check_recipe.located(name, budget or "cpu", ()) for name in named if name not in models]
    names = list(dict.fromkeys(recipe.name for recipe in located))
    if missing:
        had = {recipe.recipe for recipe in newest(settings, names, budget)} if names else set()
        for recipe in located:
            if recipe.name not in had:
                terminal_text.say(f"{recipe.name} has no finished run: it is run now")
                once(recipe, settings, master=None, devices=1, nodes=1, fresh=False)
    return rank(settings, [*names, *dict.fromkeys(models)], metric=metric, budget=budget, say=terminal_text.say)
