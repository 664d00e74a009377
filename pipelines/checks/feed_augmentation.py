"""Checks that augmentation deferred to training (`where: feed`) is still applicable after the later steps.

`check` validates the recipe as far as its steps determine it; `prepare` validates what the steps did.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from millstream.tracking.augmentations.modality import NUMBERS, fitting
from millstream.tracking.dataset.records import Step
from millstream.tracking.errors import Fault
from millstream.tracking.serving.tokenizer import MAKERS, learned_of

HARMLESS = ("impute",)
"""Steps that write to a column without changing its standard deviation."""


def faults(steps: Sequence[Step]) -> list[Fault]:
    """The errors of steps deferred to the feed, from what the later steps did."""
    return [
        Fault(where=f"step {step.name}", message=f"where: feed, and {conflict}")
        for at, step in enumerate(steps)
        if step.name == "augment" and step.config["where"] == "feed"
        for conflict in _conflicts(step, steps[at + 1 :])
    ]


def of_order(steps: Sequence[tuple[str, Any]]) -> list[tuple[int, str]]:
    """The index and error of each step of a recipe that is certain to be refused; an invalid config is None."""
    faults = []
    for at, (name, step) in enumerate(steps):
        if name != "augment" or getattr(step, "where", None) != "feed":
            continue
        behind = steps[at + 1 :]
        if fitting(op for one in step.ops for op in one) == ["text"] and not any(one in MAKERS for one, _ in behind):
            faults.append((at, f"where: feed, and {_no_tokens(step.column or 'the texts')}"))
        scaled = [one for one, other in behind if one == "scale" and getattr(other, "columns", None) == NUMBERS]
        if step.column == NUMBERS and scaled:
            faults.append((at, f"where: feed, and scale changes the {NUMBERS} behind it; put augment behind scale"))
    return faults


def _no_tokens(column: str) -> str:
    return f"nothing makes tokens of {column} behind it; put tokenize there, or use `where: spark`"


def _conflicts(step: Step, behind: Sequence[Step]) -> Iterator[str]:
    column, kind = step.learned["column"], step.learned["modality"]
    if kind == "table":
        for one in behind:
            rewritten = sorted(step.learned["deviations"].keys() & one.learned.keys())
            if rewritten and one.name not in HARMLESS:
                yield f"{one.name} changes the {NUMBERS} {rewritten} behind it; put augment behind {one.name}"
    if kind == "text":
        if learned_of(column, behind) is None:
            yield _no_tokens(repr(column))
        if any(one.learned.get("column") == column and one.name == "augment" for one in behind):
            yield f"another augment changes {column!r}; put the ops of both into one step"
