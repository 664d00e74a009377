"""Checks at the start of a run what its end requires: non-empty evaluation splits, and metrics."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from millstream.tracking.dataset.manifest import SPLITS, Manifest
from millstream.tracking.errors import Fault
from millstream.tracking.recipe.schema import Located, direction_of_mark
from millstream.training.config.fit import Fit

if TYPE_CHECKING:
    from millstream.training.task import Task

BEST = "best"
"""Prefix of the validation metrics of the final weights."""


def splits(located: Located, fit: Fit, *, test: bool = True) -> dict[str, str]:
    """The splits required in addition to train, each with the reason."""
    marked = {name.partition("/")[0] for name in _marks(located)}
    found: dict[str, str] = {}
    if fit.watches:
        found["valid"] = f"{', '.join(fit.watches)}: looks at rows of valid"
    elif marked & {"valid", BEST}:
        found["valid"] = "the pass mark is a metric of valid"
    if test:
        found["test"] = "the model is measured on rows of test at the end"
    return found


def split_faults(located: Located, needed: Mapping[str, str]) -> Iterator[Fault]:
    """Faults for required splits that the recipe's split step leaves empty; splits of the source are unknown here."""
    steps = located.section("data").get("steps")
    for at, step in enumerate(steps if isinstance(steps, list | tuple) else ()):
        split = step.get("split") if isinstance(step, dict) else None
        if not isinstance(split, dict) or split.get("by") not in ("hash", "stratified", "time"):
            continue
        given = split.get("periods") or {name for name in ("valid", "test") if split.get(name)}
        for name, why in needed.items():
            if name not in given:
                yield located.fault(f"data.steps.{at}.split", f"has no rows for {name}, and {why}; split some off")


def metric_faults(
    located: Located, task: Task, fit: Fit, splits: frozenset[str], more: Iterable[str] = ()
) -> Iterator[Fault]:
    """Faults for monitored, marked or requested (`more`) metrics that are not measured on these splits."""
    known: dict[str, list[str]] = {split: task.measures(split) for split in ("valid", "test") if split in splits}
    if "valid" in known:
        known[BEST] = known["valid"]
    requested = {f"pass.{name}": name for name in _marks(located)} | {f"--metric {name}": name for name in more}
    if fit.watches:
        requested["fit.monitor"] = fit.monitor
    for field, name in requested.items():
        stage, _, metric = name.partition("/")
        if stage in known and metric not in known[stage]:
            there = [f"{stage}/{one}" for one in sorted(known[stage])]
            near = difflib.get_close_matches(name, there, 1, cutoff=0.9)
            would = f"; did you mean {near[0]}?" if near else f" of this task; it measures {', '.join(there)}"
            yield located.fault(field, f"{name}: no such metric{would}")
        elif stage not in known and stage in (*SPLITS[1:], BEST):
            split = "valid" if stage == BEST else stage
            yield located.fault(field, f"{name}: there are no rows of {split} to measure it on; split some off")
    for name, mark in located.recipe.marks.items():
        direction = task.direction(name)
        if direction is not None and direction != direction_of_mark(mark):
            better, sign = ("smaller", "<=") if direction == "min" else ("larger", ">=")
            yield located.fault(f"pass.{name}", f"{name} is better when {better}, and the mark is {mark}; write {sign}")


def order_faults(located: Located, fit: Fit, manifest: Manifest) -> Iterator[Fault]:
    """The fault of an order that the samples of the dataset do not have."""
    from millstream.training.feed.plan.sequences import order_fault  # the order of batches imports torch

    fault = order_fault(manifest) if fit.order == "contiguous" else None
    if fault is not None:
        yield located.fault("fit.order", fault)


def _marks(located: Located) -> Mapping[str, Any]:
    return located.section("pass")
