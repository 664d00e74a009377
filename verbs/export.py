"""Exports a model to another format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from millstream.verbs.terminal import arguments, preparation
from millstream.verbs.terminal.cli import cli
from millstream.verbs.terminal.command import verb


@verb(cli, preparation.exported)
@click.argument("model")
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--format", "format_", type=click.Choice(["onnx"]), default="onnx", show_default=True)
def export(model: str, output: Path, format_: str) -> Any:
    """Write a model as an ONNX graph, compared in onnxruntime with the model's own numbers.

    The graph takes prepared values: OUTPUT.json has its inputs, and the transforms of raw columns that lead to them. A
    model whose network has no graph is refused with the reason. Needs the extra `export`.

    \b
    Example: millstream export models:/cnn.lenet-digits@champion lenet.onnx
    """
    from millstream.tracking.runs import model_logging
    from millstream.training.export import onnx_file

    return onnx_file.export(model_logging.model_folder(model, arguments.workplace()), output.absolute())
