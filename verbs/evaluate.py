"""Evaluates a model on a split."""

from __future__ import annotations

from typing import Any

import click

from millstream.verbs.terminal import arguments, training
from millstream.verbs.terminal.cli import cli
from millstream.verbs.terminal.command import verb


@verb(cli, training.evaluated)
@click.argument("model")
@click.option("--split", type=click.Choice(["train", "valid", "test"]), default="test", show_default=True)
@click.option("--dataset", metavar="PATH", help="Another dataset version: its folder, or NAME/VERSION in the store.")
def evaluate(model: str, split: str, dataset: str | None) -> Any:
    """Evaluate a model on a split of the dataset version that it was trained on, or of another one.

    \b
    Example: millstream evaluate models:/cnn.lenet-digits@champion
    """
    from millstream.training.loop.evaluate import evaluate as measure

    settings = arguments.workplace()
    return measure(model, settings, split=split, on=arguments.dataset(dataset) if dataset else None)
