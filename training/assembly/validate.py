"""Validates the training sections of a recipe: task, network, fit, environment."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from millstream.tracking.errors import Fault, WrongRecipe
from millstream.tracking.recipe import field_docs, plugins, schema
from millstream.tracking.recipe.schema import Located
from millstream.training.assembly import preconditions
from millstream.training.config.fit import Fit

PACKAGES = {
    "task": "millstream.training.tasks",
    "network": "millstream.training.networks",
    "environment": "millstream.training.environments",
}
"""Package of the part that a section names."""


def faults_before_preparation(located: Located) -> list[Fault]:
    """The faults that are found without importing a task or a network, and so without torch.

    They are those of the fit section, of required splits, and unknown names of parts. `faults` finds all.
    """
    fit, found = schema.config_of(Fit, located.section("fit"), located, "fit")
    for section, package in PACKAGES.items():
        name = located.section(section).get("name")
        try:
            if isinstance(name, str):
                plugins.check_name(package, name)
        except plugins.UnknownPart as error:
            found.append(located.fault(f"{section}.name", str(error.args[0])))
    if fit is not None and located.section("task") and located.sections.get("data") is not None:
        found += preconditions.split_faults(located, preconditions.splits(located, fit))
    return found


def faults(located: Located) -> list[Fault]:
    """Every fault in the task, network and fit sections, each with line, field and nearest name."""
    fit, found = schema.config_of(Fit, located.section("fit"), located, "fit")
    task, more = part_config("millstream.training.tasks", located, "task")
    found = [*found, *more]
    if fit is not None and task is not None:
        found += _optimizer_faults(fit, task_class(task[0]).updates_per_batch(task[1]), located)
        if not task_class(task[0]).steps_by_rows:
            found += _own_step_faults(fit, located)
    found += part_config("millstream.training.networks", located, "network")[1]
    if fit is not None and task is not None and located.sections.get("data") is not None:
        found += preconditions.split_faults(located, preconditions.splits(located, fit))
    section = "data" if located.sections.get("environment") is None else "environment"
    if section == "environment":
        found += part_config("millstream.training.environments", located, section)[1]
    if task is not None and section not in (known := task_class(task[0]).learns_from):
        name, sections = located.section("task")["name"], " or ".join(f"{one}:" for one in known)
        found.append(located.fault("task.name", f"{name} learns from {sections}, and the recipe has {section}:"))
    return found


def _optimizer_faults(fit: Fit, known: Iterable[str], located: Located) -> list[Fault]:
    """Faults for optimizers of parts that the task does not have."""
    wrong = [name for name in fit.optimizers if name not in known]
    message = f"the task {located.section('task')['name']} has no such optimizer"
    return [located.fault(f"fit.optimizers.{name}", f"{message}; {plugins.suggest(name, known)}") for name in wrong]


def _own_step_faults(fit: Fit, located: Located) -> list[Fault]:
    """Faults for options that require a step on the mean of `rows`, requested of a task with its own steps."""
    requested = {
        "accumulate": fit.accumulate > 1,
        "compile": fit.compile,
        "optimizer.name": fit.optimizer.name == "lbfgs",
    }
    task = located.section("task")["name"]
    message = f"the task {task} steps in a way of its own, which this has no hold on; leave it out"
    return [located.fault(f"fit.{field}", message) for field, is_requested in requested.items() if is_requested]


def part_config(package: str, located: Located, section: str) -> tuple[tuple[Any, Any] | None, list[Fault]]:
    """The module that a section names and its config; or the faults."""
    values = located.section(section)
    if not isinstance(values.get("name"), str):
        return None, []  # reported by the recipe's own check
    module, fields, found = schema.part_of(package, values, located, section)
    if module is None:
        return None, found
    config_class: type[BaseModel] = module.Config
    config, found = schema.config_of(config_class, fields, located, section)
    return ((module, config) if config is not None else None), found


def fields(located: Located) -> list[dict[str, Any]]:
    """Every field of the fit, task, network and environment sections, with its value in this recipe and description.

    Raises WrongRecipe when a section is invalid.
    """
    sections: dict[str, BaseModel] = {"fit": Fit.model_validate(located.section("fit"))}
    for section, package in PACKAGES.items():
        part, found = part_config(package, located, section)
        WrongRecipe.unless_empty(found)
        if part is not None:
            sections[section] = part[1]
    return [field for section, config in sections.items() for field in field_docs.values(config, section)]


def task_class(module: Any) -> Any:
    """The task class of a module in `training/tasks`."""
    return plugins.class_of(module)
