"""Trains on a prepared dataset version, in one or several ranks."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from millstream.experiments import check_recipe
from millstream.tracking.host import terminal_text
from millstream.verbs.terminal import arguments, training
from millstream.verbs.terminal.cli import cli
from millstream.verbs.terminal.command import Answer, code, verb
from millstream.verbs.terminal.options import recipe_options, training_options

if TYPE_CHECKING:
    from millstream.tracking.dataset.version import Dataset
    from millstream.tracking.recipe.schema import Located
    from millstream.tracking.runs.run import Run
    from millstream.tracking.settings import Settings


@verb(cli, training.trained_or_found)
@recipe_options
@click.option("--dataset", metavar="PATH", help="A dataset version: its folder, or NAME/VERSION in the store.")
@click.option("--resume", metavar="RUN", help="Resume a stopped or killed run from its last checkpoint.")
@click.option(
    "--find", type=click.Choice(["lr", "batch_size"]), help="Search for a value in a few steps, without training."
)
@click.option("--unregistered", is_flag=True, hidden=True)
@click.option("--master", metavar="URL", help="Spark master whose hosts run the processes; default: this machine.")
@training_options
def train(
    recipe: str,
    budget: Any,
    sets: tuple[str, ...],
    dataset: str | None,
    resume: str | None,
    find: Any,
    unregistered: bool,
    master: str | None,
    devices: int,
    nodes: int,
    fresh: bool,
    require_pass: bool,
) -> Answer:
    """Train the recipe's network on a prepared dataset version, and register the model.

    A killed or stopped run of the same recipe, data and code resumes from its last checkpoint. Ranks started by
    torchrun or srun are detected; --devices N starts N ranks on this machine, or with --master on the hosts of a Spark
    cluster.

    \b
    Example: millstream train cnn/lenet-mnist --resume 4c1f... --devices 2
    """
    from millstream.pipelines.spark.distributed_training import on_hosts
    from millstream.training.distributed.deduplicate_errors import report_once
    from millstream.training.distributed.launch import launch
    from millstream.training.distributed.ranks import here
    from millstream.training.loop.entry_point import here_as_rank, in_ranks, needs_launch
    from millstream.training.loop.job import refuse_unfit
    from millstream.training.loop.resume import again, begin

    if resume and fresh:
        raise click.UsageError("--resume continues a run, and --fresh starts one; leave one of them out")
    with report_once(here()):
        located, settings = check_recipe.located(recipe, budget, sets), arguments.workplace()
        launches = needs_launch(devices, nodes)
        if master is not None and not launches:
            raise click.UsageError("--master is where the processes of --devices N run; give N, or leave it out")
        used = None if launches else _dataset(located, settings, dataset)
        if not launches:
            refuse_unfit(located, used, test=not find)
    if launches:
        more = {"--dataset": dataset, "--resume": resume}
        words = [word for name, value in more.items() if value for word in (name, value)]
        start = partial(on_hosts, master, settings) if master else launch
        report, ended = in_ranks(located, devices, *words, *(["--fresh"] if fresh else []), start=start)
        return Answer(report, ended or code(report, require_pass))
    if find:
        return Answer(_found(find, located, settings, used), 0)

    def open_run(restarted: bool) -> Run:
        if resume is None:
            return begin(located, settings, used, fresh=fresh, restarted=restarted, say=terminal_text.say)
        return again(located, settings, used, resume, say=terminal_text.say)

    result = here_as_rank(located, settings, used, open_run, register=not unregistered)
    if result is None:
        sys.exit(0)  # rank 0 reports for all
    return Answer(result, code(result, require_pass))


def _dataset(located: Located, settings: Settings, path: str | None) -> Dataset | None:
    """The version at `path`, by default the recipe's; None for an environment."""
    from millstream.pipelines import prepare as preparation
    from millstream.tracking.dataset.version import Dataset

    if located.recipe.data is None:
        return None
    return Dataset.open(path, settings.store, settings.cache) if path else preparation.find(located, settings)


def _found(what: Any, located: Located, settings: Settings, dataset: Dataset | None) -> Any:
    """Result of `--find`, in a run of its own."""
    from millstream.experiments.lr_finder import find
    from millstream.tracking.runs.run import Run

    with Run.start(settings, located) as run:
        terminal_text.say(f"run {run.id}")
        return find(what, located, run, dataset)
