"""Prepares a dataset version."""

from __future__ import annotations

from typing import Any

from millstream.experiments import check_recipe
from millstream.tracking.host import terminal_text
from millstream.verbs.terminal import arguments, preparation
from millstream.verbs.terminal.cli import cli
from millstream.verbs.terminal.command import verb
from millstream.verbs.terminal.options import master_option, recipe_options


@verb(cli, preparation.prepared)
@recipe_options
@master_option
def prepare(recipe: str, budget: Any, sets: tuple[str, ...], master: str | None) -> Any:
    """Prepare the recipe's dataset version from raw data, on Spark.

    The same input has the same version id: it is prepared once and reused afterwards.

    \b
    Example: millstream prepare cnn/lenet-mnist --master spark://host:7077
    """
    from millstream.pipelines import prepare as preparation

    located = check_recipe.located(recipe, budget, sets, trains=False)
    if located.recipe.data is None:
        terminal_text.say(f"{located.name} learns in an environment: there is nothing to prepare")
        nothing = {"train": 0, "valid": 0, "test": 0}
        return {
            "dataset": None,
            "version": None,
            "path": None,
            "rows": nothing,
            "quarantined": 0,
            "reused": False,
            "seconds": 0.0,
        }
    needed = check_recipe.needed(located)
    return preparation.prepare(located, arguments.workplace(), master=master, say=terminal_text.say, needed=needed)
