"""Compares a dataset version with its files."""

from __future__ import annotations

import click

from tracking.command import Answer, verb
from tracking.tables import preparation
from verbs import asked
from verbs.group import cli


@verb(cli, preparation.faults)
@click.argument("dataset")
def verify(dataset: str) -> Answer:
    """Compare every hash, digest and count of a dataset version with its files, and its checks with its rows.

    Taken as it is, since the rows do not tell it: that statistics are fitted on train, which inputs are nearly equal,
    and the order in time or the groups of a split whose column is not kept or was named by a later step.

    \b
    Example: millstream verify mnist/3f0c5ab64d6c2f1e
    """
    from tracking.verify import verify as compare

    found = compare(asked.dataset(dataset), asked.say)
    return Answer({"ok": not found, "faults": [fault.model_dump() for fault in found]}, 3 if found else 0)
