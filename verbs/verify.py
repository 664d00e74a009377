"""Verifies a dataset version against its files."""

from __future__ import annotations

import click

from millstream.tracking.host import terminal_text
from millstream.verbs.terminal import arguments, preparation
from millstream.verbs.terminal.cli import cli
from millstream.verbs.terminal.command import Answer, verb


@verb(cli, preparation.faults)
@click.argument("dataset")
def verify(dataset: str) -> Answer:
    """Recompute every hash, digest and count of a dataset version from its files, and its leakage checks from its rows.

    Not verified, as the rows cannot show it: that statistics were fitted on train, near-duplicate inputs, and the
    time order or the groups of a split whose column was dropped or is used by a later step.

    \b
    Example: millstream verify mnist/3f0c5ab64d6c2f1e
    """
    from millstream.tracking.verification.verify import verify as compare

    faults = compare(arguments.dataset(dataset), terminal_text.say)
    return Answer({"ok": not faults, "faults": [fault.model_dump() for fault in faults]}, 3 if faults else 0)
