"""The command itself, which every verb belongs to."""

from __future__ import annotations

import click

from millstream.verbs.terminal.command import CODES, Verbs


@click.group(
    cls=Verbs, epilog=CODES, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
def cli() -> None:
    """Spark makes the dataset, Lightning makes the model from it, MLflow remembers both.

    A recipe is one YAML file: data, task, network, fit, budgets and pass mark. The shortest way to a model:

    \b
      millstream run cnn/lenet-digits     prepare, train, evaluate, register
      millstream ui                       look at the run
      millstream recipes                  what else there is

    Settings come from MILLSTREAM_HOME, MILLSTREAM_STORE, MILLSTREAM_MIRROR and MLFLOW_TRACKING_URI.
    """
