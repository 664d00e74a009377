"""Which column of a table is to be predicted, and by which task."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from millstream.pipelines.samples.columns import Profile
from millstream.tracking.errors import WrongRecipe

SURE = frozenset(["target", "label", "labels", "class", "classes", "y", "outcome", "response", "dependent"])
LIKELY = frozenset(
    re.findall(
        r"\w+",
        "churn churned left default fraud survived income price saleprice quality diagnosis species sentiment rating "
        "stars score result status category strength sales",
    )
)
AMOUNTS = frozenset(
    re.findall(
        r"\w+",
        "price saleprice amount count age number total sum cost value income salary revenue sales quantity qty days "
        "hours minutes temperature weight height rooms",
    )
)
MOST_GRADES = 10
"""Different whole numbers that are taken as classes."""
SHOWN = 12


@dataclass(frozen=True)
class Target:
    profile: Profile
    task: str
    why: str
    doubts: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.profile.name

    @property
    def is_class(self) -> bool:
        return self.task == "classify"

    @property
    def classes(self) -> Mapping[str, int]:
        """The rows of each class in the sample; empty for a number."""
        return self.profile.counts if self.is_class else {}


def chosen(profiles: Sequence[Profile], wanted: str | None, where: object) -> Target:
    """The target that is wanted, or the likeliest. Raises WrongRecipe with the columns that could be one."""
    by_name = {one.name: one for one in profiles}
    candidates = [one for one in profiles if one.kind in ("number", "category")]
    if wanted is not None:
        if wanted not in by_name:
            near = difflib.get_close_matches(wanted, by_name, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise WrongRecipe.at("--target", f"{wanted!r}: no such column; {hint}columns: {_listed(by_name)}")
        return _task_of(by_name[wanted], "as requested", candidates, where)
    if not candidates:
        kinds = ", ".join(f"{one.name} ({one.kind})" for one in profiles[:SHOWN])
        raise WrongRecipe.at(where, f"no column that could be a target: {kinds}; a target is a number or a category")
    # a column with the name of a target that cannot be one is refused, and no other one taken in its place
    ways = ((SURE, "a usual name of a target", profiles), (LIKELY, "a name that a target may have", candidates))
    for words, reason, among in ways:
        named = [one for one in among if words & _words(one.name)]
        if named:
            best = min(reversed(named), key=lambda one: len(_words(one.name)))
            others = [one.name for one in named if one is not best]
            more = f"; {', '.join(others)} could be it, too" if others else ""
            return _task_of(best, reason, candidates, where, doubt=more or ";")
    if candidates[-1] is profiles[-1]:
        return _task_of(candidates[-1], "the last column", candidates, where, doubt=";")
    raise WrongRecipe.at(
        where, f"which column is to be predicted? add --target and one of {_listed(one.name for one in candidates)}"
    )


def _task_of(profile: Profile, why: str, candidates: Sequence[Profile], where: object, doubt: str = "") -> Target:
    name = profile.name
    problem = {
        "empty": "has no value",
        "constant": f"is {profile.evidence}: there is nothing to predict",
        "time": "is a time; make a number of it in the file (the days until it, say)",
        "text": f"holds {profile.evidence}; a target is a number or a category",
        "nested": f"holds {profile.evidence}; a target is a number or a category",
    }.get(profile.kind)
    if profile.kind == "key" and profile.numbers is None:
        problem = f"has {profile.evidence}: there is nothing to learn; a target is a number or a category"
    if problem:
        others = _listed(one.name for one in candidates if one is not profile)
        would = f"; columns that could be a target: {others}" if others else ""
        raise WrongRecipe.at("--target" if why == "as requested" else where, f"{name!r} {problem}{would}")
    doubts = [f"the target is {name!r}, {why}{doubt.rstrip(';')}; --target names another one"] if doubt else []
    if profile.missing:
        doubts.append(f"{profile.missing:,} rows of the sample have no {name}: they are quarantined")
    if profile.kind == "category":
        return Target(profile, "classify", f"{why}; {profile.evidence}", tuple(doubts))
    numbers = profile.numbers
    if profile.distinct == 2:
        return Target(
            profile, "classify", f"{why}; two values, {' and '.join(map(repr, profile.counts))}", tuple(doubts)
        )
    is_amount = bool(AMOUNTS & _words(name)) or bool(numbers and (numbers.prefix or numbers.suffix))
    few = profile.distinct <= MOST_GRADES and profile.present >= 10 * profile.distinct
    if numbers and numbers.is_whole and few and not is_amount:
        span = f"{profile.distinct} whole numbers, {min(numbers.values.values()):g} to {max(numbers.values.values()):g}"
        doubts.append(f"{name}: {span}, are taken as classes; grades in order: `task: ordinal`, a quantity: `regress`")
        return Target(profile, "classify", f"{why}; {span}", tuple(doubts))
    return Target(profile, "regress", f"{why}; {profile.evidence}", tuple(doubts))


def _words(name: str) -> set[str]:
    """The words of a column name: `Is_Fraud`, `salePrice`, `TX_FRAUD`."""
    parts = re.split(r"[\W_]+|(?<=[a-z])(?=[A-Z])", name)
    return {part.lower() for part in parts if part} | {name.lower()}


def _listed(names: object) -> str:
    every = [repr(name) for name in names]  # type: ignore[attr-defined]
    return ", ".join(every[:SHOWN]) + (f" and {len(every) - SHOWN} more" if len(every) > SHOWN else "")
