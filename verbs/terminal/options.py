"""Options shared by several verbs."""

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
    help="Size of the run: seconds; minutes; a GPU.",
)
sets_option = click.option(
    "--set", "sets", multiple=True, metavar="FIELD=VALUE", help="Override any field: fit.epochs=3."
)


def recipe_options(work: Work) -> Work:
    """RECIPE, --budget and --set."""
    return click.argument("recipe")(budget_option(sets_option(work)))


def training_options(work: Work) -> Work:
    """--devices, --nodes, --fresh and --require-pass."""
    work = click.option("--fresh", is_flag=True, help="Start a new run, even if an interrupted one could be resumed.")(
        work
    )
    work = click.option("--require-pass", is_flag=True, help="Exit with 1 when a pass mark is missed.")(work)
    work = click.option("--nodes", type=click.IntRange(1), default=1, show_default=True, help="Number of machines.")(
        work
    )
    return click.option("--devices", type=click.IntRange(1), default=1, show_default=True, help="Ranks per machine.")(
        work
    )


master_option = click.option("--master", metavar="URL", help="Spark master; default: all cores of this machine.")
