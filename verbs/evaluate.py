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
def evaluate(model: str, split: str) -> Any:
    """Evaluate a model on a split of the dataset version that it was trained on.

    \b
    Example: millstream evaluate models:/cnn.lenet-digits@champion
    """
    from millstream.training.loop.evaluate import evaluate as measure

    return measure(model, arguments.workplace(), split=split)
