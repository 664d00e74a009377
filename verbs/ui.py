"""Serves the MLflow UI of the tracking store."""

from __future__ import annotations

import os

import click

from millstream.tracking.host import terminal_text
from millstream.verbs.terminal import arguments
from millstream.verbs.terminal.cli import cli


@cli.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=5000, show_default=True)
def ui(host: str, port: int) -> None:
    """Serve the MLflow UI of the tracking store, until Ctrl-C."""
    from millstream.tracking.runs.mlflow_store import UI_STORE, open_store
    from millstream.tracking.runs.mlflow_store import ui as command_line

    settings = arguments.workplace()
    open_store(settings)
    # without it, a browser that was never here opens MLflow's pages about language models
    terminal_text.say(f"http://{host}:{port}/#/experiments?workflowType=machine_learning")
    program = command_line(host, port)
    os.execve(program[0], program, {**os.environ, UI_STORE: settings.tracking_uri})
