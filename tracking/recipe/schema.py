"""Schema of a recipe: one YAML file with data, task, network, fit, budgets and pass marks.

This module holds what all sections share; the fields of each section are validated by the package that owns them
(`pipelines.prepare.faults`, `training.assembly.build.faults`), with `config_of` from this module.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import math
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeVar, get_args

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from millstream.tracking.errors import Fault, WrongRecipe
from millstream.tracking.recipe import field_paths, plugins

Budget = Literal["smoke", "cpu", "full"]
BUDGETS: tuple[Budget, ...] = ("smoke", "cpu", "full")
Direction = Literal["min", "max"]
"""Whether a smaller or a larger value of a metric is better."""
_COMPARE: dict[str, Callable[[float, float], bool]] = {">=": operator.ge, "<=": operator.le}
_WANTED = "Input should be "
"""Prefix of pydantic's messages about the expected type."""
_MARK = re.compile(r"(>=|<=)\s*(\S+)")

ConfigT = TypeVar("ConfigT", bound=BaseModel)


class Data(BaseModel, frozen=True, extra="forbid"):
    """The `data` section: a source and the preparation steps, in order."""

    source: dict[str, Any] = Field(
        description="source of the data: `name` of a module in pipelines/sources, and its fields"
    )
    steps: tuple[dict[str, Any], ...] = Field(
        (), description="preparation steps in order of execution, each as `step: {fields}`"
    )
    name: str | None = Field(
        None,
        pattern=r"^[a-z0-9][a-z0-9_-]*$",
        max_length=200,
        description="name of the dataset; default: the name of the source",
    )

    @field_validator("steps", mode="before")
    @classmethod
    def _none_is_empty(cls, steps: Any) -> Any:
        for at, step in enumerate(steps or ()):
            if not isinstance(step, dict) or len(step) != 1:
                raise ValueError(f"step {at}: expected one `name: {{fields}}`, found {step!r}")
        return steps or ()

    @field_validator("source")
    @classmethod
    def _named(cls, source: dict[str, Any]) -> dict[str, Any]:
        return _with_name(source)


class Repeat(BaseModel, frozen=True, extra="forbid"):
    """Runs the whole recipe once per value of one field (predefined folds, say); metrics are means over these runs."""

    field: str = Field(description="dotted path of the field to vary, such as data.steps.0.split.fold")
    values: tuple[int, ...] = Field(min_length=2, description="its values, one nested run each")


class Recipe(BaseModel, frozen=True, extra="forbid", populate_by_name=True):
    """A recipe after its budget and `--set` overrides were applied."""

    about: str = Field(min_length=1)
    data: Data | None = None
    environment: dict[str, Any] | None = None
    task: dict[str, Any] | None = None
    network: dict[str, Any] | None = None
    fit: dict[str, Any] = Field(default_factory=dict)
    budgets: dict[Budget, dict[str, Any]] = Field(default_factory=dict)
    marks: dict[str, str] = Field(
        default_factory=dict, alias="pass", description="pass marks as metric: '>= x' or '<= x'"
    )
    repeat: Repeat | None = None
    search: dict[str, Any] | None = Field(
        None, description="search space of `millstream search`: ranges or values by field"
    )

    @field_validator("task", "network")
    @classmethod
    def _named(cls, section: dict[str, Any] | None) -> dict[str, Any] | None:
        return _with_name(section) if section is not None else None

    @field_validator("budgets", mode="before")
    @classmethod
    def _none_is_empty(cls, budgets: Any) -> Any:
        return {name: fields or {} for name, fields in budgets.items()} if isinstance(budgets, dict) else budgets

    @field_validator("marks")
    @classmethod
    def _readable(cls, marks: dict[str, str]) -> dict[str, str]:
        for metric, mark in marks.items():
            parse_mark(metric, mark)
        return marks

    @model_validator(mode="after")
    def _data_or_environment(self) -> Recipe:
        if (self.data is None) == (self.environment is None):
            raise ValueError("a recipe has either data: or environment:, and not both")
        missing = [name for name in ("task", "network") if getattr(self, name) is None]
        if missing and (len(missing) == 1 or self.data is None or self.marks):
            raise ValueError(f"{' and '.join(missing)}: required, and missing (a recipe of data alone has neither)")
        return self

    @property
    def trains(self) -> bool:
        """Whether the recipe trains a model; a data-only recipe is only prepared."""
        return self.task is not None

    def passed(self, metrics: Mapping[str, float]) -> bool | None:
        """Whether every pass mark is reached; None if the recipe has none. A missing metric counts as not reached."""
        return not missed(self.marks, metrics) if self.marks else None


@dataclass(frozen=True)
class Located:
    """A recipe with its name and the source line of each field; it may still have `faults`."""

    sections: Mapping[str, Any]
    name: str
    file: Path
    budget: Budget
    lines: Mapping[str, str]
    overrides: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()

    @cached_property
    def recipe(self) -> Recipe:
        """The validated recipe. Raises WrongRecipe if there are `faults`."""
        WrongRecipe.unless_empty(self.faults)
        return Recipe.model_validate(self.sections)

    @property
    def words(self) -> list[str]:
        """Command-line arguments that select this recipe again: by name if it is shipped, by file otherwise."""
        sets = [word for setting in self.sets for word in ("--set", setting)]
        # only shipped recipes have a family
        return [self.name if "/" in self.name else str(self.file), "--budget", self.budget, *sets]

    def section(self, name: str) -> dict[str, Any]:
        """A section as written, so that its fields can be validated even if another section is invalid."""
        fields = self.sections.get(name)
        return fields if isinstance(fields, dict) else {}

    def where(self, field: str) -> str:
        """`file:line` of a dotted field, of its nearest written parent, or the `--set` option that set it."""
        for path in field_paths.parents(field):
            if path in self.overrides:
                return f"--set {path}"
            if path in self.lines:
                return self.lines[path]
        return str(self.file)

    def fault(self, field: str, message: str) -> Fault:
        return Fault(where=self.where(field), message=f"{field}: {message}")

    def resolved(self) -> dict[str, Any]:
        """The recipe as plain data, as logged to the run."""
        return self.recipe.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"budgets", "search"})

    @property
    def fingerprint(self) -> str:
        """16 hex digits that change with anything in the resolved recipe."""
        return hashlib.sha256(json.dumps(self.resolved(), sort_keys=True).encode()).hexdigest()[:16]


def config_of(
    model: type[ConfigT], values: Mapping[str, Any], located: Located, field: str
) -> tuple[ConfigT | None, list[Fault]]:
    """The `values` at `field` of the recipe as a `model`, or all their faults with line and nearest field name."""
    try:
        config = model.model_validate(values)
    except ValidationError as error:
        errors: dict[tuple[str, str | None], list[Any]] = {}
        for problem in error.errors():
            path = ".".join([field] * bool(field) + _written(model, values, problem))
            errors.setdefault((path, None if problem["msg"].startswith(_WANTED) else problem["msg"]), []).append(
                problem
            )
        return None, [_fault(model, path, message, located) for (path, _), message in errors.items()]
    endless = [located.fault(at, f"expected a finite number; found {given}") for at, given in _endless(config, field)]
    return (None, endless) if endless else (config, [])


def part_of(
    package: str, section: Mapping[str, Any], located: Located, field: str
) -> tuple[ModuleType | None, dict[str, Any], list[Fault]]:
    """The module that the section's `name` refers to, the section's other fields, and the faults."""
    rest = {key: value for key, value in section.items() if key != "name"}
    try:
        return plugins.find(package, section.get("name")), rest, []
    except plugins.UnknownPart as error:
        return None, rest, [located.fault(f"{field}.name", str(error.args[0]))]


def missed(marks: Mapping[str, str], metrics: Mapping[str, float]) -> list[str]:
    """Metrics whose pass mark is not reached; a missing metric counts as not reached."""
    limits = {metric: parse_mark(metric, mark) for metric, mark in marks.items()}
    return [
        metric
        for metric, (compare, limit) in limits.items()
        if metric not in metrics or not compare(_single(metrics[metric]), _single(limit))
    ]


def _single(value: float) -> float:
    """Rounded to single precision, in which metrics are computed: 440 of 500 rows are reported as .87999999."""
    return ctypes.c_float(value).value


def parse_mark(metric: str, mark: str) -> tuple[Callable[[float, float], bool], float]:
    """Comparison and limit of a pass mark such as '>= 0.989'. Raises ValueError with the expected form."""
    match = _MARK.fullmatch(mark.strip())
    try:
        if not match:
            raise ValueError
        return _COMPARE[match[1]], float(match[2])
    except ValueError:
        raise ValueError(f"{metric}: expected '>= number' or '<= number', found {mark!r}") from None


def direction_of_mark(mark: str) -> Direction:
    """The direction of improvement that a valid pass mark implies."""
    return "max" if mark.strip().startswith(">=") else "min"


def _endless(value: Any, path: str) -> Iterator[tuple[str, float]]:
    """Paths of infinite or NaN numbers in a config, which field bounds do not exclude everywhere."""
    if isinstance(value, float) and not math.isfinite(value):
        yield path, value
    inside: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, BaseModel):
        found = type(value).model_fields.items()
        inside = [(info.alias or name, getattr(value, name)) for name, info in found if not _is_free(info.annotation)]
    elif isinstance(value, dict):
        inside = value.items()
    elif isinstance(value, list | tuple):
        inside = enumerate(value)
    for step, field in inside:
        yield from _endless(field, f"{path}.{step}" if path else str(step))


def _is_free(annotation: Any) -> bool:
    """Whether a field accepts anything: such sections are validated by the package that owns them."""
    return annotation is Any or any(_is_free(argument) for argument in get_args(annotation))


def _written(model: type[BaseModel], values: Any, error: Any) -> list[str]:
    """The path of an error, from steps that are written or are fields; the names of union members are dropped."""
    steps = []
    for at, step in enumerate(error["loc"]):
        holder = _model_at(model, error["loc"][:at])
        is_field = holder is not None and step in {info.alias or name for name, info in holder.model_fields.items()}
        try:
            values, is_there = values[step], True
        except (TypeError, LookupError):
            is_there = False
        is_named = error["type"] in ("missing", "extra_forbidden") and at == len(error["loc"]) - 1
        if is_field or is_there or is_named:
            steps.append(str(step))
    return steps


def _fault(model: type[BaseModel], path: str, errors: list[Any], located: Located) -> Fault:
    """The fault at a path; a field with a union type has one error per member, which are joined."""
    error, given = errors[0], errors[0].get("input")
    if error["type"] == "extra_forbidden":
        holder = _model_at(model, error["loc"][:-1])
        known = [info.alias or name for name, info in holder.model_fields.items()] if holder else []
        return located.fault(path, f"no such field; {plugins.suggest(str(error['loc'][-1]), known)}")
    if error["type"] == "missing":
        return located.fault(path, "required, and missing")
    if error["type"] == "value_error":
        return located.fault(path or "recipe", error["msg"].removeprefix("Value error, "))
    first, *others = dict.fromkeys(problem["msg"] for problem in errors)
    wanted = " or ".join([first, *(problem.removeprefix(_WANTED) for problem in others)])
    shown = json.dumps(given, default=str)
    return located.fault(path, wanted if len(shown) > 60 else f"{wanted}; found {shown}")


def _model_at(model: type[BaseModel], loc: tuple[Any, ...]) -> type[BaseModel] | None:
    """The model at `loc`, where each step names a field whose type is a model or contains one."""
    for step in loc:
        info = model.model_fields.get(str(step)) or next(
            (i for i in model.model_fields.values() if i.alias == step), None
        )
        if info is None:
            continue  # an index, a key or the name of a union member
        nested = _models_in(info.annotation)
        if not nested:
            return None
        model = nested[0]
    return model


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for argument in getattr(annotation, "__args__", ()) for found in _models_in(argument)]


def _with_name(section: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(section.get("name"), str):
        raise ValueError("expected a mapping with a name, such as {name: ...}")
    return section
