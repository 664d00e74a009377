"""Whether the feed can do what steps with `where: feed` leave to it: it changes what the dataset holds in the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tracking.augmentations.modality import NUMBERS
from tracking.faults import Fault
from tracking.manifest import Step
from tracking.tokens import learned_of

HARMLESS = ("impute",)
"""Steps that write to a column, and leave what it deviates by."""


def faults(steps: Sequence[Step]) -> list[Fault]:
    """What is wrong with steps that are left to the feed, by what the steps behind them did."""
    return [
        Fault(where=f"step {step.name}", message=f"where: feed, and {told}")
        for at, step in enumerate(steps)
        if step.name == "augment" and step.config["where"] == "feed"
        for told in _told(step, steps[at + 1 :])
    ]


def _told(step: Step, behind: Sequence[Step]) -> Iterator[str]:
    column, kind = step.learned["column"], step.learned["modality"]
    if kind == "table":
        for one in behind:
            rewritten = sorted(step.learned["deviations"].keys() & one.learned.keys())
            if rewritten and one.name not in HARMLESS:
                yield f"{one.name} changes the {NUMBERS} {rewritten} behind it; put augment behind {one.name}"
    if kind == "text":
        if learned_of(column, behind) is None:
            yield f"nothing makes tokens of {column!r} behind it; put tokenize there, or use `where: spark`"
        if any(one.learned.get("column") == column and one.name == "augment" for one in behind):
            yield f"another augment changes {column!r}; put the ops of both into one step"
