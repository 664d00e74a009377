"""Runs a recipe end to end, from raw data to a registered model."""

from __future__ import annotations

from typing import Any

from millstream.experiments import check_recipe
from millstream.experiments.run_recipe import once, repeated
from millstream.tracking.host import terminal_text
from millstream.verbs.terminal import arguments, training
from millstream.verbs.terminal.cli import cli
from millstream.verbs.terminal.command import UNDER_THE_MARK, Answer, verb
from millstream.verbs.terminal.options import master_option, recipe_options, training_options


@verb(cli, training.run)
@recipe_options
@master_option
@training_options
def run(recipe: str, budget: Any, sets: tuple[str, ...], require_pass: bool, **options: Any) -> Answer:
    """Prepare, train, evaluate and register in one run; an interrupted run is resumed.

    \b
    Example: millstream run cnn/lenet-digits --budget smoke
    """

    located, settings = check_recipe.located(recipe, budget, sets), arguments.workplace()
    if not located.recipe.trains:
        from millstream.pipelines import prepare as preparation

        terminal_text.say(f"{located.name} is data alone: it is prepared, and nothing is trained")
        prepared = preparation.prepare(located, settings, master=options["master"], say=terminal_text.say)
        return Answer(training.combined(prepared, None), 0)
    if located.recipe.repeat is None:
        result = training.combined(*once(located, settings, **options))
    else:
        result = repeated(recipe, budget, sets, settings, **options)
    return Answer(result, UNDER_THE_MARK if require_pass and result["passed"] is False else 0)
