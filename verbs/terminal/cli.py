"""The click group that every verb belongs to."""

from __future__ import annotations

import click

from millstream.verbs.terminal.command import CODES, Verbs


@click.group(
    cls=Verbs, epilog=CODES, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
def cli() -> None:
    """Spark prepares the dataset, Lightning trains the model, MLflow tracks both.

    A recipe is one YAML file: data, task, network, fit, budgets and pass mark. To train a first model:

    \b
      millstream run cnn/lenet-digits     prepare, train, evaluate, register
      millstream ui                       show the run in MLflow
      millstream recipes                  list the recipes

    Settings come from MILLSTREAM_HOME, MILLSTREAM_STORE, MILLSTREAM_MIRROR and MLFLOW_TRACKING_URI.
    """
