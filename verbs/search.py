"""Hyperparameter search over the fields of a recipe."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import click

from millstream.experiments import check_recipe
from millstream.tracking.host import terminal_text
from millstream.tracking.recipe import plugins
from millstream.verbs.terminal import arguments, ranking
from millstream.verbs.terminal.cli import cli
from millstream.verbs.terminal.command import verb
from millstream.verbs.terminal.options import budget_option, master_option, sets_option

if TYPE_CHECKING:
    from millstream.tracking.errors import Fault
    from millstream.tracking.recipe.schema import Located

STRATEGIES = plugins.names("millstream.experiments.search.strategies")


@verb(cli, ranking.searched)
@click.argument("recipe")
@click.option("--strategy", type=click.Choice(STRATEGIES), default="tpe", show_default=True, help="Search algorithm.")
@click.option("--trials", type=click.IntRange(1), default=20, show_default=True, help="Total number of trainings.")
@click.option(
    "--over", multiple=True, metavar="FIELD=RANGE", help="Search space of a field: {low, high, log} or [a, b]."
)
@click.option("--metric", help="Objective; default: the metric of the pass mark, on validation.")
@click.option("--direction", type=click.Choice(["max", "min"]), help="Maximize or minimize; default: by the metric.")
@click.option("--seed", type=click.IntRange(0), default=7, show_default=True, help="Seed of the proposals.")
@budget_option
@sets_option
@master_option
@click.option("--fresh", is_flag=True, help="Run all trials again.")
def search(
    recipe: str,
    strategy: str,
    trials: int,
    over: tuple[str, ...],
    metric: str | None,
    direction: str | None,
    seed: int,
    budget: Any,
    sets: tuple[str, ...],
    master: str | None,
    fresh: bool,
) -> Any:
    """Search for the best values of fields by trials; finished trials are not run again.

    The search space comes from the recipe's section `search` or from --over; by default it is the learning rate, from
    a tenth to ten times the recipe's. Trials are compared on validation: run the printed command, which has the best
    values, to evaluate on the test split once.

    \b
    Example: millstream search mlp/adult --trials 30 --over 'fit.optimizer.lr={low: 1e-4, high: 1e-1, log: true}'
    """
    from millstream.experiments.nested_runs import Options
    from millstream.experiments.search import run_search as searching
    from millstream.experiments.search.metric import direction_of, metric_of
    from millstream.experiments.search.space import space_of
    from millstream.tracking.errors import WrongRecipe

    located, settings = check_recipe.located(recipe, budget, sets), arguments.workplace()
    if not located.recipe.trains or located.recipe.repeat is not None:
        raise WrongRecipe.at(located.file, "a search varies a recipe that trains, once a trial (--set repeat=null)")
    space, faults = space_of(located, _written(over))
    if space is None:
        raise WrongRecipe(*faults)
    # fail before the first trial: each end of a range is valid alone
    for field, range_ in space.fields.items():
        for end in range_.ends:
            faults += check_recipe.checked(recipe, budget, (*sets, *searching.sets({field: end})))[1]
    WrongRecipe.unless_empty(list(dict.fromkeys(faults)))
    looked_for = metric_of(located, metric)
    WrongRecipe.unless_empty(_unmeasured(located, looked_for))
    largest = (direction or direction_of(located, looked_for)) == "max"
    wanted = searching.Search(
        base=located,
        space=space,
        strategy=strategy,
        seed=seed,
        metric=looked_for,
        largest=largest,
        again=shlex.join(
            ["millstream", "search", *located.words, *_again(strategy, trials, over, metric, direction, seed)]
        ),
        recipe=lambda values: check_recipe.located(recipe, budget, (*sets, *searching.sets(values))),
    )
    options = Options(settings, master=master, fresh=fresh, test=False)
    return searching.run_search(wanted, trials, options, say=terminal_text.say)


def _unmeasured(located: Located, metric: str) -> list[Fault]:
    """Faults of the metric that trials are compared by, as far as they are known before the first trial."""
    from millstream.training.assembly.preconditions import split_faults

    split = {metric.partition("/")[0]: f"trials are compared by {metric}"}
    lacking = list(split_faults(located, split)) if "valid" in split else []
    return lacking or [fault for fault in check_recipe.unfit(located, metric) if metric in fault.message]


def _again(
    strategy: str, trials: int, over: tuple[str, ...], metric: str | None, direction: str | None, seed: int
) -> list[str]:
    """Arguments of the command that resumes a search, after those of the recipe."""
    words = ["--strategy", strategy, "--trials", str(trials), "--seed", str(seed)]
    words += [word for setting in over for word in ("--over", setting)]
    given = {"--metric": metric, "--direction": direction}
    return words + [word for name, value in given.items() if value for word in (name, value)]


def _written(over: tuple[str, ...]) -> dict[str, Any]:
    """Values of --over by field."""
    from millstream.tracking.errors import WrongRecipe
    from millstream.tracking.recipe import yaml_lines

    ranges: dict[str, Any] = {}
    for text in over:
        field, equals, given = text.partition("=")
        if not equals or not field or not given.strip():
            message = "expected FIELD=RANGE, such as 'fit.optimizer.lr={low: 1e-4, high: 1e-1, log: true}'"
            raise WrongRecipe.at(f"--over {text}", message)
        ranges[field] = yaml_lines.parse(given, f"--over {field}")[0]
    return ranges
