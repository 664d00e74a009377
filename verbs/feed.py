"""Walks an epoch as the model would get it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tracking.command import verb
from tracking.tables import preparation
from verbs import asked
from verbs.group import cli
from verbs.options import recipe_options

if TYPE_CHECKING:
    from tracking.dataset import Dataset
    from training.feed.reading import Reading


@verb(cli, preparation.walked)
@recipe_options
@click.option("--split", default="train", show_default=True)
@click.option("--epoch", type=click.IntRange(0), default=0, show_default=True)
@click.option(
    "--ranks", type=click.IntRange(1), default=1, show_default=True, help="As so many processes would see it."
)
@click.option("--engine", type=click.Choice(["petastorm", "arrow"]), help="Default: petastorm where it is installed.")
@click.option("--memory", type=click.Choice(["cached", "streamed"]), help="Default: cached if the split fits.")
@click.option("--show", type=click.Path(dir_okay=False, path_type=Path), help="Write a picture of the first batch.")
def feed(recipe: str, budget: Any, sets: tuple[str, ...], split: str, **options: Any) -> Any:
    """Walk an epoch of RECIPE (or of a DATASET) as the model would get it; one hash for all global batches in order.

    \b
    Example: millstream feed cnn/lenet-mnist --ranks 4 --engine arrow --show batch.png
    """
    from training.feed.walk import walk

    dataset, signature, reading = _fed(recipe, budget, sets)
    chosen = {name: value for name in ("engine", "memory") if (value := options.pop(name))}
    return walk(dataset, split, signature, reading.model_copy(update=chosen), **options)


def _fed(name: str, budget: Any, sets: tuple[str, ...]) -> tuple[Dataset, Any, Reading]:
    """Dataset, signature and way of reading of a recipe, or those that a bare dataset gets."""
    from pipelines.prepare import find
    from tracking.recipe_file import catalogue
    from training.build import parts_of
    from training.feed.reading import Reading

    if name in catalogue() or name.endswith((".yaml", ".yml")):
        located = asked.located(name, budget, sets)
        with asked.looking() as held:
            dataset = find(located, held)
        if located.recipe.trains:
            parts = parts_of(located)
            return dataset, parts.signature(dataset.manifest), parts.fit
    else:
        dataset = asked.dataset(name)
    targets = [column.name for column in dataset.manifest.columns if column.role == "target"]
    return dataset, dataset.manifest.signature(targets[0] if len(targets) == 1 else None), Reading()
