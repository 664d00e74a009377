"""Makes a dataset version."""

from __future__ import annotations

from typing import Any

from tracking.command import verb
from tracking.tables import preparation
from verbs import asked
from verbs.group import cli
from verbs.options import master_option, recipe_options


@verb(cli, preparation.prepared)
@recipe_options
@master_option
def prepare(recipe: str, budget: Any, sets: tuple[str, ...], master: str | None) -> Any:
    """Make the recipe's dataset version from raw data, on Spark.

    The same input names the same version, which is made once and then found again.

    \b
    Example: millstream prepare cnn/lenet-mnist --master spark://host:7077
    """
    from pipelines import prepare as preparation

    located = asked.located(recipe, budget, sets)
    if located.recipe.data is None:
        asked.say(f"{located.name} learns in an environment: there is nothing to prepare")
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
    needed = asked.needed(located)
    return preparation.prepare(located, asked.workplace(), master=master, say=asked.say, needed=needed)
