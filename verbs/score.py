"""Batch prediction for a table, on Spark unless it is small."""

from __future__ import annotations

import gc
from typing import Any

import click

from millstream.verbs.terminal import arguments, preparation
from millstream.verbs.terminal.cli import cli
from millstream.verbs.terminal.command import verb
from millstream.verbs.terminal.options import master_option


@verb(cli, preparation.scored)
@click.argument("model")
@click.argument("source", metavar="INPUT")
@click.argument("output")
@master_option
def score(model: str, source: str, output: str, master: str | None) -> Any:
    """Predict for a table of raw columns: CSV, JSON lines, Parquet or ORC in, Parquet out, all or nothing.

    A CSV or Parquet file of at most 4 MiB is scored in this process, any other table, and any with --master, on Spark.

    \b
    Example: millstream score models:/mlp.adult/1 people.csv scored
    """
    # imports make objects that stay: looking for cycles among them takes a quarter of the time of three rows
    gc.disable()
    from millstream.pipelines.score import score as batch_score

    return batch_score(model, source, output, arguments.workplace(), master=master)
