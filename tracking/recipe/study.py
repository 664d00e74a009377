"""A study: a recipe, the fields to vary, and the recipe of each combination of their values (a full grid)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, Field, field_validator, model_validator

from millstream.tracking.errors import Fault, WrongRecipe
from millstream.tracking.recipe import plugins, yaml_lines
from millstream.tracking.recipe.loader import STUDIES, Written, locate, read, studies
from millstream.tracking.recipe.schema import Budget, Located, Recipe, config_of

VARY = "vary"
MOST = 500
"""Maximum number of combinations of a study; use a search for more."""


class Study(BaseModel, frozen=True, extra="forbid"):
    """Fields of a study, in addition to those of its recipe.

    | vary: {fit.init: [zeros, he]}                             | a field and its values                  |
    | vary: {penalty: {none: {}, L1: {fit.l1: 1.0e-3}}}         | a name, and labelled changes of any field |
    """

    vary: dict[str, list[Any] | dict[str | int | float, dict[str, Any]]] = Field(
        min_length=1, description="fields to vary, with their values; every combination is run"
    )
    metrics: tuple[str, ...] = Field(("test/accuracy",), min_length=1, description="metrics to compare at the end")
    curve: str | None = Field(None, description="metric to plot over the steps, such as valid/loss")
    pictures: str | None = Field(
        None, pattern=r"^[a-z0-9_]+$", description="figure of each run to stack in one figure, such as enlargements"
    )
    ranked: str | None = Field(
        None, description="metric that ranks the models on the same test rows, with significance tests"
    )
    train_split: bool = Field(False, description="also evaluate each model on the train split, as train/...")
    log: bool = Field(False, description="plot numeric values on a logarithmic axis")

    @field_validator("vary", mode="before")
    @classmethod
    def _has_values(cls, vary: Any) -> Any:
        for axis, values in vary.items() if isinstance(vary, dict) else ():
            changes = values.values() if isinstance(values, dict) else ()
            if (
                not values
                or not isinstance(values, list | dict)
                or not all(isinstance(change, dict) for change in changes)
            ):
                raise ValueError(f"{axis}: expected a list of values or {{name: {{field: value}}}}, found {values!r}")
        return vary

    @model_validator(mode="after")
    def _is_small(self) -> Self:
        if self.size > MOST:
            raise ValueError(f"{VARY}: {self.size} combinations, and {MOST} are the most; `millstream search` draws")
        return self

    @property
    def size(self) -> int:
        return math.prod(len(values) for values in self.vary.values())

    @property
    def axes(self) -> dict[str, list[str]]:
        """Labels of the values, by axis."""
        return {axis: [label for label, _ in _settings(axis, values)] for axis, values in self.vary.items()}


@dataclass(frozen=True)
class LocatedStudy:
    """A study with the recipe of each combination, and the distinct faults of all of them."""

    study: Study | None
    base: Located
    """The recipe without the varied fields."""
    combinations: tuple[tuple[dict[str, str], Located], ...] = ()
    """Labels by axis, and the recipe."""
    faults: tuple[Fault, ...] = field(default=())


def is_study(name: str) -> bool:
    """Whether this is a shipped study, or a YAML file with a `vary` section."""
    if Path(name).suffix not in (".yaml", ".yml"):
        return name in studies()
    try:
        return VARY in read(Path(name)).sections
    except WrongRecipe:
        return False  # reported when it is read as a recipe


def load(name: str, *, budget: Budget = "cpu", sets: Iterable[str] = ()) -> LocatedStudy:
    """The shipped study `name` (such as `initialisation`), or the one in the YAML file `name`.

    Budgets and `--set` change the recipe; `vary.<axis>` in either replaces the values of an axis. Raises
    WrongRecipe for invalid YAML, or an unknown study.
    """
    file, given = _file(name), tuple(sets)
    called = file.stem if Path(name).suffix else STUDIES + name.removeprefix(STUDIES)
    written = read(file)
    own, recipe, faults = _apart(written, budget)
    values = {one: _values(one) for one in given if _axis(one) and "=" in one}
    sets = [one for one in given if one not in values]
    if values and isinstance(own.get(VARY), dict):
        own[VARY] = own[VARY] | dict(values.values())
    base = replace(locate(recipe, called, file, budget=budget, sets=sets), sets=given)
    study, more = config_of(Study, own, base, "")
    faults += more
    if study is None:
        return LocatedStudy(None, base, faults=(*base.faults, *faults))
    combinations = []
    for choice in itertools.product(*(_settings(axis, values) for axis, values in study.vary.items())):
        labels = {axis: label for axis, (label, _) in zip(study.vary, choice, strict=True)}
        changes = [
            (path, new, _where(base, axis, path))
            for axis, (_, settings) in zip(study.vary, choice, strict=True)
            for path, new in settings.items()
        ]
        combinations.append((labels, locate(recipe, called, file, budget=budget, sets=sets, changes=changes)))
    faults += [fault for _, one in combinations for fault in one.faults] + _set_faults(study, sets)
    return LocatedStudy(study, base, tuple(combinations), tuple(dict.fromkeys(faults)))


def _apart(written: Written, budget: Budget) -> tuple[dict[str, Any], Written, list[Fault]]:
    """The study's fields after its budget was applied, the recipe in the same file, and faults for unknown fields."""
    sections = dict(written.sections)
    known = [*Study.model_fields, *(about.alias or name for name, about in Recipe.model_fields.items())]
    unknown = [name for name in sections if name not in known]
    faults = [
        Fault(where=written.lines[name], message=f"{name}: no such field; {plugins.suggest(name, known)}")
        for name in unknown
    ]
    for name in unknown:
        del sections[name]
    own = {name: sections.pop(name) for name in Study.model_fields if name in sections}
    budgets = sections.get("budgets")
    if isinstance(budgets, dict) and isinstance(own.get(VARY), dict):
        chosen = budgets.get(budget)
        changed = {name: new for name, new in (chosen or {}).items() if _axis(name)}
        own[VARY] = own[VARY] | {_axis(name): new for name, new in changed.items()}
        sections["budgets"] = {
            name: {path: new for path, new in (changes or {}).items() if not _axis(path)}
            for name, changes in budgets.items()
        }
    return own, Written(sections, written.lines, written.faults), faults


def _axis(path: str) -> str:
    return path.removeprefix(f"{VARY}.") if path.startswith(f"{VARY}.") else ""


def _values(text: str) -> tuple[str, Any]:
    """The axis of `vary.<axis>=<values>`, and its values. Raises WrongRecipe for invalid YAML."""
    path, _, values = text.partition("=")
    return _axis(path), yaml_lines.parse(values, f"--set {path}")[0] if values.strip() else ""


def _settings(axis: str, values: Any) -> list[tuple[str, dict[str, Any]]]:
    """Each label of an axis with the fields that it sets."""
    if isinstance(values, dict):
        return [(str(label), settings) for label, settings in values.items()]
    return [(str(value), {axis: value}) for value in values]


def _where(base: Located, axis: str, path: str) -> str:
    return base.lines.get(f"{VARY}.{axis}", base.lines.get(VARY, f"{base.file}: {path}"))


def _set_faults(study: Study, sets: Iterable[str]) -> list[Fault]:
    varied = {path for axis, values in study.vary.items() for _, one in _settings(axis, values) for path in one}
    message = "is what the study varies; change its file, or leave --set out"
    return [Fault(where=f"--set {one}", message=message) for one in sets if one.partition("=")[0] in varied]


def _file(name: str) -> Path:
    known = {one.removeprefix(STUDIES): file for one, file in studies().items()}
    short = name.removeprefix(STUDIES)
    if short in known:
        return known[short]
    if Path(name).suffix in (".yaml", ".yml"):
        return Path(name)
    raise WrongRecipe.at(
        f"study {name!r}", f"no such study; {plugins.suggest(short, known)}; or give a YAML file's path"
    )
