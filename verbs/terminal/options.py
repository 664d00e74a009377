"""Options that several verbs have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

Work = Callable[..., Any]

budget_option = click.option(
    "--budget",
    type=click.Choice(["smoke", "cpu", "full"]),
    default="cpu",
    show_default=True,
    help="Seconds; minutes; a GPU.",
)
sets_option = click.option(
    "--set", "sets", multiple=True, metavar="FIELD=VALUE", help="Change any field: fit.epochs=3."
)


def recipe_options(work: Work) -> Work:
    """RECIPE, --budget and --set."""
    return click.argument("recipe")(budget_option(sets_option(work)))


def training_options(work: Work) -> Work:
    """--devices, --nodes, --fresh and --require-pass."""
    work = click.option("--fresh", is_flag=True, help="A new run, even if one like it was broken off and could go on.")(
        work
    )
    work = click.option("--require-pass", is_flag=True, help="Exit with 1 when a pass mark is missed.")(work)
    work = click.option("--nodes", type=click.IntRange(1), default=1, show_default=True, help="Machines.")(work)
    return click.option("--devices", type=click.IntRange(1), default=1, show_default=True, help="Processes a machine.")(
        work
    )


master_option = click.option("--master", metavar="URL", help="Spark master; default: all cores of this machine.")
