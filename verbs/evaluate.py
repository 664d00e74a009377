"""Measures a model on a split."""

from __future__ import annotations

from typing import Any

import click

from tracking.command import verb
from tracking.tables import training
from verbs import asked
from verbs.group import cli


@verb(cli, training.evaluated)
@click.argument("model")
@click.option("--split", type=click.Choice(["train", "valid", "test"]), default="test", show_default=True)
def evaluate(model: str, split: str) -> Any:
    """Measure a model on a split of the dataset version that it came from.

    \b
    Example: millstream evaluate models:/cnn.lenet-digits@champion
    """
    from training.evaluate import evaluate as measure

    return measure(model, asked.workplace(), split=split)
