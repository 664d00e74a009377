"""Compares a dataset version with its files."""

from __future__ import annotations

import click

from millstream.tracking.host import terminal_text
from millstream.verbs.terminal import arguments, preparation
from millstream.verbs.terminal.cli import cli
from millstream.verbs.terminal.command import Answer, verb


@verb(cli, preparation.faults)
@click.argument("dataset")
def verify(dataset: str) -> Answer:
    """Compare every hash, digest and count of a dataset version with its files, and its checks with its rows.

    Taken as it is, since the rows do not tell it: that statistics are fitted on train, which inputs are nearly equal,
    and the order in time or the groups of a split whose column is not kept or was named by a later step.

    \b
    Example: millstream verify mnist/3f0c5ab64d6c2f1e
    """
    from millstream.tracking.verification.verify import verify as compare

    found = compare(arguments.dataset(dataset), terminal_text.say)
    return Answer({"ok": not found, "faults": [fault.model_dump() for fault in found]}, 3 if found else 0)
