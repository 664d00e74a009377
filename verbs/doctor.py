"""Diagnoses this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from millstream.experiments import check_recipe
from millstream.tracking.host import terminal_text
from millstream.verbs.terminal import arguments, preparation
from millstream.verbs.terminal.cli import cli
from millstream.verbs.terminal.command import Answer, verb

if TYPE_CHECKING:
    from millstream.tracking.runs.promotion import Measure
    from millstream.tracking.settings import Settings


@verb(cli, preparation.checks)
@click.option("--send", is_flag=True, help="Send the metrics that earlier runs could not log to MLflow.")
@click.option(
    "--feed", "fed", metavar="RECIPE", help="Report the bottleneck of its training: reading, decoding, the model ..."
)
def doctor(send: bool, fed: str | None) -> Answer:
    """Report what is wrong with this machine, and the one command that repairs it.

    \b
    Example: millstream doctor --feed cnn/lenet-mnist
    """
    from millstream.pipelines import health as preparing
    from millstream.tracking import health as remembering
    from millstream.training.diagnostics import health as training

    settings = arguments.workplace()
    kept = remembering.checks(settings, send_spool=send, measure=_measuring(settings) if send else None)
    checks = [*preparing.checks(settings), *training.checks(), *kept]
    if fed is not None:
        checks += _feed_checks(fed, settings)
    ok = all(check.ok for check in checks)
    return Answer({"ok": ok, "checks": [check.model_dump() for check in checks]}, 0 if ok else 4)


def _measuring(settings: Settings) -> Measure:
    from millstream.training.loop.evaluate import measuring

    return measuring(settings)


def _feed_checks(recipe: str, settings: Settings) -> list[Any]:
    from millstream.pipelines.prepare import find
    from millstream.training.assembly.build import parts_of
    from millstream.training.diagnostics import health as training

    located = check_recipe.located(recipe, "cpu", ())
    parts = parts_of(located)
    return list(training.feed_checks(find(located, settings), parts, terminal_text.say))
