"""The rule by which a registered model becomes `champion`, as a function of figures alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic import BaseModel

from millstream.tracking.errors import Refusal
from millstream.tracking.host.disk_full import is_full
from millstream.tracking.recipe.schema import Direction, direction_of_mark, missed
from millstream.tracking.recipe.store_names import registered_name
from millstream.tracking.runs.store_errors import StoreError, first_line

SMOKE = "smoke"
RULE = (
    "The champion is the best of the versions that were trained on all of the data, with another budget than smoke, "
    "and reach every pass mark; on a new dataset version both models are measured on its test split."
)
_NONE = float("nan")


class Entry(BaseModel, frozen=True):
    """Registry entry of a run's model: plain values, which can be spooled until the store is available."""

    recipe: str
    about: str
    dataset_version: str
    marks: dict[str, str]
    metrics: dict[str, float]
    dataset: str = ""
    """Name of the dataset; like the members below, missing in older spools."""
    budget: str = ""
    limit: int | None = None
    """Number of rows that the source was limited to; None for all."""
    metric: str = ""
    """The metric by which versions are compared, if the recipe has no pass mark; with pass marks it is the first."""
    direction: Direction = "max"

    @property
    def name(self) -> str:
        return registered_name(self.recipe)

    @property
    def version(self) -> str:
        """The dataset version, with the dataset's name; empty for a model of an environment."""
        return "/".join(filter(None, (self.dataset, self.dataset_version)))

    @property
    def objective(self) -> tuple[str, Direction]:
        """The metric by which versions are compared, and the direction of improvement."""
        for metric, mark in self.marks.items():
            return metric, direction_of_mark(mark)
        return self.metric, self.direction


@dataclass(frozen=True)
class Champion:
    """The present champion, from its entry in the registry and its run."""

    version: str
    dataset_version: str
    budget: str = ""
    limit: int | None = None
    metrics: Mapping[str, float] | None = None
    """On the test split of its own dataset version; None if its run was deleted permanently."""
    has_files: bool = True
    is_chosen: bool = False
    """Whether it was promoted by hand: then its figures alone count."""


class Decision(BaseModel, frozen=True):
    """Whether a version becomes champion, and the comparison that decided."""

    promoted: bool
    why: str
    metric: str
    direction: Direction
    value: float | None = None
    champion: str | None = None
    """The version that it was compared with, if any."""
    champion_value: float | None = None
    dataset: str = ""
    """The dataset version on whose test split both were measured."""


def decide(entry: Entry, champion: Champion | None, measure: Callable[[], Mapping[str, float]]) -> Decision:
    """Whether the model of an entry becomes champion.

    `measure` returns the champion's metrics on the test split of the entry's dataset version; it is called if the
    champion has another one. If it fails, the champion stays.
    """
    metric, direction = entry.objective
    found = {"metric": metric, "direction": direction, "value": entry.metrics.get(metric), "dataset": entry.version}

    def decided(promoted: bool, why: str, champion_value: float | None = None) -> Decision:
        version = champion.version if champion else None
        return Decision(promoted=promoted, why=why, champion=version, champion_value=champion_value, **found)

    if why := _unfit(entry.budget, entry.limit) or _unmeasured(entry):
        return decided(False, f"it {why}")
    if champion is None:
        return decided(True, "it is the first that qualifies")
    if why := _displaced(champion):
        return decided(True, f"version {champion.version}, the champion before, {why}")
    if not metric:
        return decided(False, f"no metric is known by which to compare it with version {champion.version}")
    is_same = champion.dataset_version == entry.dataset_version
    try:
        theirs = champion.metrics or {} if is_same else _measured(measure)
    except _Unmeasured as error:
        return decided(False, f"version {champion.version} stays: it cannot be measured on {entry.version}: {error}")
    value, ours = theirs.get(metric, _NONE), entry.metrics[metric]
    if math.isnan(value):
        return decided(True, f"version {champion.version}, the champion before, has no number for {metric}")
    missing = [] if champion.is_chosen else missed(entry.marks, theirs)
    is_better = bool(missing) or (ours > value if direction == "max" else ours < value)
    place = f" on the test split of {entry.version}" if entry.version else ""
    again = "" if is_same else " (measured again)"
    below = f"; that one misses the pass mark of {', '.join(missing)}" if missing else ""
    figures = f"{metric} is {ours:.5g} against {value:.5g} of version {champion.version}{again}{place}"
    return decided(is_better, f"{figures}{below}", value)


def _unfit(budget: str, limit: int | None) -> str:
    """Why a training cannot make a champion, whatever its figures; empty if it can."""
    if budget == SMOKE:
        return f"was trained with the budget {SMOKE}"
    return f"was trained on a part of the data (limit: {limit})" if limit is not None else ""


def _unmeasured(entry: Entry) -> str:
    """Why its figures do not qualify a model; empty if they do."""
    if below := missed(entry.marks, entry.metrics):
        each = (f"{name} {entry.metrics.get(name, _NONE):.5g}, not {entry.marks[name]}" for name in below)
        return f"misses its pass mark: {'; '.join(each)}"
    metric, _ = entry.objective
    return f"has no number for {metric}" if metric and math.isnan(entry.metrics.get(metric, _NONE)) else ""


def _displaced(champion: Champion) -> str:
    """Why a champion yields to any model that qualifies; empty if it does not."""
    if not champion.has_files or champion.metrics is None:
        return f"has lost its {'run' if champion.has_files else 'files'}"
    return "" if champion.is_chosen else _unfit(champion.budget, champion.limit)


class _Unmeasured(Exception):
    """The champion could not be evaluated on another dataset version."""


def _measured(measure: Callable[[], Mapping[str, float]]) -> Mapping[str, float]:
    try:
        return measure()
    except StoreError:
        raise  # decided when the store is available
    except Refusal as refused:
        raise _Unmeasured("; ".join(fault.message for fault in refused.faults)) from refused
    except Exception as error:  # of a network that meets other data: no reason to lose the new model
        if is_full(error):
            raise
        raise _Unmeasured(f"{type(error).__name__}: {first_line(error)}") from error
