"""Serves a model by HTTP."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from millstream.verbs.terminal import arguments, preparation
from millstream.verbs.terminal.cli import cli
from millstream.verbs.terminal.command import Ongoing, verb


@verb(cli, preparation.served)
@click.argument("model")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0: any free port.")
@click.option("--max-rows", type=click.IntRange(1), default=1000, show_default=True, help="Rows of a request.")
@click.option("--max-mib", type=click.FloatRange(0.001), default=8, show_default=True, help="MiB of a request.")
@click.option(
    "--token-file",
    type=click.Path(path_type=Path),
    help="File with the token that requests must send; default: that in MILLSTREAM_SERVE_TOKEN, or none.",
)
@click.option("--dockerfile", metavar="DIR", type=click.Path(path_type=Path), help="Write a folder to build an image.")
def serve(
    model: str, host: str, port: int, max_rows: int, max_mib: float, token_file: Path | None, dockerfile: Path | None
) -> Any:
    """Answer requests for predictions by HTTP, until Ctrl-C.

    \b
    Example: millstream serve models:/mlp.adult@champion
             curl http://127.0.0.1:8080/schema
             curl http://127.0.0.1:8080/predict --json '{"rows": [{"age": 39, ...}]}'

    Rows that do not fit the model's columns are refused with row, column, value and what was expected. With
    --dockerfile nothing is served: DIR gets a Dockerfile, the model and its code.
    """
    # a request is computed by one thread, and several at once: two threads for one row wait for each other (31 ms to 5)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from millstream.tracking.runs import model_logging

    folder = model_logging.describe(model, arguments.workplace()).folder
    if dockerfile is not None:
        from millstream.training.export import container

        return {"folder": str(container.write(folder, dockerfile.absolute()))}
    from millstream.pyfunc import _load_pyfunc
    from millstream.training.serving import rest

    token = rest.token_of(os.environ, token_file)
    limits = rest.Limits(body_mib=max_mib, rows=max_rows)
    service = rest.Service(_load_pyfunc(str(folder / model_logging.DATA)), model, limits, token)
    listener = rest.listening(host, port, token)
    return Ongoing({"url": rest.url_of(listener), "model": model}, lambda: rest.run(service, listener))
