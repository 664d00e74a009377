"""Leakage that is certain before anything runs, from the order of the steps and the columns each reads.

`check` runs it on a recipe, with the roles that the recipe declares; `prepare` again, with those of the table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from millstream.pipelines.table import Computing, DerivedColumns, Reach, Reached, Reaching, Roles, Watchful

LOOK_BACK = "give the window an ORDER BY so that it looks back, or PARTITION BY the key of the split"

Step = tuple[str, Any]
"""A step's name and its config, None if the config is invalid."""


def of_order(steps: Sequence[Step]) -> list[tuple[int, str]]:
    """The index and error of each step whose position causes leakage."""
    names = [name for name, _ in steps]
    split = names.index("split") if "split" in names else len(names)
    gap = next((step.gap for _, step in steps if getattr(step, "by", None) == "time"), None)
    reached: Reached = {}
    resampled = [at for at, (_, step) in enumerate(steps) if getattr(step, "resamples", False)]
    leaks = []
    for at, (name, step) in enumerate(steps):
        place = getattr(step, "place", "any")
        if at < split and place == "after split":  # fitted on train, or changes train alone
            position = f"stands before {'the split' if 'split' in names else 'any split, and there is none'}"
            leaks.append((at, f"{position}: it would learn from test rows; put split first"))
        if at > split and place == "before split":  # looks for duplicates among all rows
            leaks.append((at, "stands after the split: equal rows may be in two splits by then; put it before"))
        if name == "split" and at != split:
            leaks.append((at, "a second split; rows are split once"))
        if resampled and at > resampled[0] and getattr(step, "looks_around", False):
            maker = names[resampled[0]]
            leaks.append((at, f"stands after {maker}: rows that it made or left out would count; put it before"))
        if name == "encode" and getattr(step, "method", None) == "target":
            leaks += [(at, _of_two_rows(maker)) for maker, one in steps[:at] if _mixes(maker, one)]
        made = step.reaches(reached) if isinstance(step, Reaching) else {}
        if split < len(steps):
            leaks += [(at, message) for message in _of_other_splits(made, steps[split][1], is_after=at > split)]
        if gap is not None:
            leaks += [(at, message) for message in _of_later_rows(made, gap)]
        reached = {**reached, **{column.lower(): reach for column, reach in made.items()}}
    return leaks


def _mixes(name: str, step: Any) -> bool:
    """Whether a step makes rows of two, which have one row's fold but category or target of the other, too."""
    return (name == "mixup" and getattr(step, "resamples", True)) or (
        name == "rebalance" and getattr(step, "method", None) == "smote"
    )


def _of_two_rows(maker: str) -> str:
    return f"method: target stands after {maker}, whose rows are made of two, and in one's fold alone; put it before"


def _of_other_splits(columns: Mapping[str, Reach], split: Any, *, is_after: bool) -> Iterator[str]:
    """The errors of inputs computed from all rows of a group, where a group has rows of several splits.

    A group by the split's `key` (and perhaps more), or by the split's own column, is safe. Any other group may have
    test rows in it, which a mean over train rows then includes. `_of_later_rows` checks a split by time; without a
    step `split` the source's own is unknown here.
    """
    by = getattr(split, "by", "time")  # None where the split itself is invalid, and reported
    if by == "time" or (by != "given" and not (split.valid or split.test)):
        return
    apart = {split.key} | ({"split"} if is_after else set())
    if by == "given" and not split.valid:
        apart.add(split.column or "split")
    together = {name.lower() for name in apart if name}
    for name, reach in columns.items():
        if reach.role == "input" and any(not one & together for one in reach.groups):
            message = "reads all rows of a group, and a group has rows of several splits"
            yield f"{name}: {message}; {LOOK_BACK}{'' if split.key else ', which has none'}"


def _of_later_rows(columns: Mapping[str, Reach], gap: float) -> list[str]:
    """The errors of inputs, and without a gap of targets, computed from later rows, for a split by time."""
    message = "reads rows that come later, and in a split by time these are another split's"
    back = "look back (ORDER BY the time, ... PRECEDING, lag), or give it another role"
    apart = "give the split a gap of as many days as it looks ahead"
    advice = {"input": back} if gap else {"input": back, "target": apart}
    ahead = {name: one.role for name, one in columns.items() if one.looks_ahead and one.role in advice}
    return [f"{name}: {message}; {advice[role]}" for name, role in ahead.items()]


def of_step(step: object, roles: Roles, derived: DerivedColumns) -> list[str]:
    """The leakage of a step, given the roles of columns and the columns computed from the target."""
    return step.leaks(roles, derived) if isinstance(step, Watchful) else []


def derived_after(step: object, roles: Roles, derived: DerivedColumns) -> DerivedColumns:
    """The columns computed from the target, after the step."""
    return {**derived, **step.derives(roles, derived)} if isinstance(step, Computing) else derived


def of_target(steps: Sequence[Step], roles: Roles) -> Iterator[tuple[int, str]]:
    """The index and error of each step with leakage from the target."""
    derived: DerivedColumns = {}
    for at, (_, step) in enumerate(steps):
        yield from ((at, message) for message in of_step(step, roles, derived))
        derived = derived_after(step, roles, derived)


def of_weights(steps: Sequence[Step]) -> list[tuple[int, str]]:
    """The index and error of each rebalance after one by weights, which it would invalidate."""
    methods = {at: getattr(step, "method", "none") for at, (name, step) in enumerate(steps) if name == "rebalance"}
    weighed = next((at for at, method in methods.items() if method == "weights"), len(steps))
    message = "stands after weights, which are those of the rows before it; put method: weights last"
    return [(at, message) for at, method in methods.items() if at > weighed and method != "none"]


def declared(source: object, target: object) -> Roles:
    """The roles known from a recipe: those of the source's declared columns, and the task's target."""
    columns = getattr(source, "columns", None)
    roles: dict[str, str] = {name: one.role for name, one in columns.items()} if isinstance(columns, dict) else {}
    return roles | ({target: "target"} if isinstance(target, str) else {})
