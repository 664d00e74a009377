"""Iterates over an epoch of batches, without a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from millstream.experiments import check_recipe
from millstream.verbs.terminal import arguments, preparation
from millstream.verbs.terminal.cli import cli
from millstream.verbs.terminal.command import verb
from millstream.verbs.terminal.options import recipe_options

if TYPE_CHECKING:
    from millstream.tracking.dataset.version import Dataset
    from millstream.training.feed.plan.config import Reading


@verb(cli, preparation.walked)
@recipe_options
@click.option("--split", default="train", show_default=True)
@click.option("--epoch", type=click.IntRange(0), default=0, show_default=True)
@click.option("--ranks", type=click.IntRange(1), default=1, show_default=True, help="Number of ranks to simulate.")
@click.option("--engine", type=click.Choice(["petastorm", "arrow"]), help="Default: petastorm where it is installed.")
@click.option("--memory", type=click.Choice(["cached", "streamed"]), help="Default: cached if the split fits.")
@click.option("--show", type=click.Path(dir_okay=False, path_type=Path), help="Write a figure of the first batch.")
def feed(recipe: str, budget: Any, sets: tuple[str, ...], split: str, **options: Any) -> Any:
    """Iterate over an epoch of RECIPE (or of a DATASET) as in training; one hash covers all global batches in order.

    \b
    Example: millstream feed cnn/lenet-mnist --ranks 4 --engine arrow --show batch.png
    """
    from millstream.training.diagnostics.feed_hash import walk

    dataset, signature, reading = _fed(recipe, budget, sets)
    chosen = {name: value for name in ("engine", "memory") if (value := options.pop(name))}
    return walk(dataset, split, signature, reading.model_copy(update=chosen), **options)


def _fed(name: str, budget: Any, sets: tuple[str, ...]) -> tuple[Dataset, Any, Reading]:
    """Dataset, signature and reading configuration of a recipe; for a bare dataset the defaults."""
    from millstream.pipelines.prepare import find
    from millstream.tracking.recipe.loader import catalogue
    from millstream.training.assembly.build import parts_of
    from millstream.training.feed.plan.config import Reading

    if name in catalogue() or name.endswith((".yaml", ".yml")):
        located = check_recipe.located(name, budget, sets)
        with arguments.looking() as held:
            dataset = find(located, held)
        if located.recipe.trains:
            parts = parts_of(located)
            return dataset, parts.signature(dataset.manifest), parts.fit
    else:
        dataset = arguments.dataset(name)
    targets = [column.name for column in dataset.manifest.columns if column.role == "target"]
    return dataset, dataset.manifest.signature(*(targets if len(targets) == 1 else ())), Reading()
