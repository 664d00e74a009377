"""Runs a recipe end to end, once or for each value of its repeated field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from millstream.experiments import check_recipe
from millstream.tracking.host import terminal_text

if TYPE_CHECKING:
    from millstream.tracking.recipe.schema import Located
    from millstream.tracking.settings import Settings


def once(
    located: Located,
    settings: Settings,
    *,
    master: str | None,
    devices: int,
    nodes: int,
    fresh: bool,
    parent: str | None = None,
    register: bool = True,
    test: bool = True,
) -> tuple[Any, Any]:
    """Results of preparation (None for an environment) and training, in one run; `test=False` needs a single rank."""
    from millstream.pipelines import prepare as preparation
    from millstream.tracking.dataset.version import Dataset
    from millstream.tracking.errors import WrongRecipe
    from millstream.training.loop.entry_point import in_ranks, needs_launch
    from millstream.training.loop.job import refuse_unfit
    from millstream.training.loop.resume import begin, report_out_of_reach
    from millstream.training.loop.train import train as fit

    # a dataset that is not prepared yet has no run to resume
    has_data = located.recipe.data is not None
    known = check_recipe.published(located, settings) if has_data and not fresh else None
    is_unknown = has_data and known is None
    if is_unknown:
        WrongRecipe.unless_empty(check_recipe.unfit(located))
    else:
        refuse_unfit(located, known, test=test)
    with begin(located, settings, known, fresh=fresh or is_unknown, parent=parent, say=terminal_text.say) as tracked:
        prepared, dataset = None, None
        if located.recipe.data is not None:
            needed = check_recipe.needed(located, test=test)
            prepared = preparation.prepare(located, settings, master=master, say=terminal_text.say, needed=needed)
            tracked.tag(prepare_seconds=str(prepared.seconds), reused=str(prepared.reused).lower())
            dataset = Dataset.open(prepared.path, settings.store, settings.cache)
            if is_unknown and not fresh:
                report_out_of_reach(located, settings, dataset, terminal_text.say)
        if not needs_launch(devices, nodes):
            return prepared, fit(located, tracked, dataset, register=register, test=test)
        tracked.hand_over()
    words = ["--resume", tracked.id, *(["--dataset", str(dataset.folder)] if dataset else [])]
    return prepared, in_ranks(located, devices, *words, *([] if register else ["--unregistered"]))[0]


def repeated(recipe: str, budget: Any, sets: tuple[str, ...], settings: Settings, **options: Any) -> dict[str, Any]:
    """Runs the recipe for each value of the repeated field, as nested runs; the metrics are their means."""
    from millstream.tracking.runs.repeated_runs import summary
    from millstream.tracking.runs.run import Run

    located = check_recipe.located(recipe, budget, sets)
    repeat = located.recipe.repeat
    if repeat is None:
        raise click.UsageError(f"{recipe} repeats nothing")
    done = []
    with Run.start(settings, located) as parent:
        for at, value in enumerate(repeat.values):
            terminal_text.say(f"{repeat.field} = {value} ({at + 1} of {len(repeat.values)})")
            repeated_recipe = check_recipe.located(recipe, budget, (*sets, f"{repeat.field}={value}"))
            done.append(
                once(repeated_recipe, settings, parent=parent.id, register=at == 0, **options | {"fresh": True})
            )
        return summary(parent, located, done)
