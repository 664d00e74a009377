"""Shows the fields of a part of a recipe."""

from __future__ import annotations

from typing import Any

import click

from millstream.verbs.terminal import preparation
from millstream.verbs.terminal.cli import cli
from millstream.verbs.terminal.command import verb

KINDS = ("source", "step", "task", "network", "environment", "fit")


@verb(cli, preparation.listed_fields)
@click.argument("words", nargs=-1, metavar="[KIND] NAME")
def fields(words: tuple[str, ...]) -> Any:
    r"""Print every field of a source, step, task, network or environment, or of fit: type, default, meaning.

    KIND is source, step, task, network, environment or fit, where a name is that of several. Without a name the names
    of all parts are printed.

    \b
    Example: millstream fields table
             millstream fields step encode
             millstream fields cnn/lenet
    """
    from millstream.experiments import part_fields

    if not words:
        return [{"kind": kind, "name": name} for kind, names in part_fields.parts().items() for name in names]
    kind, name = (None, words[0]) if len(words) == 1 else words[:2]
    if len(words) > 2 or kind not in (None, *KINDS):
        raise click.UsageError(f"expected [KIND] NAME, with KIND one of {', '.join(KINDS)}; found {' '.join(words)}")
    return part_fields.fields_of(kind, name)[1]
