"""Checks the sections of a recipe that belong to training: task, network, fit, environment."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from tracking import parts, recipe
from tracking.faults import Fault
from tracking.recipe import Located
from training.fit_config import Fit


def faults(located: Located) -> list[Fault]:
    """Every fault in the task, network and fit sections, each with line, field and nearest name."""
    found = [*recipe.config_of(Fit, located.section("fit"), located, "fit")[1]]
    found += part_config("training.tasks", located, "task")[1]
    found += part_config("training.networks", located, "network")[1]
    if located.sections.get("environment") is not None:
        found += part_config("training.environments", located, "environment")[1]
    return found


def part_config(package: str, located: Located, section: str) -> tuple[tuple[Any, Any] | None, list[Fault]]:
    """The module that a section names and its config; or the faults."""
    values = located.section(section)
    if not isinstance(values.get("name"), str):
        return None, []  # told by the recipe's own check
    module, fields, found = recipe.part_of(package, values, located, section)
    if module is None:
        return None, found
    config_class: type[BaseModel] = module.Config
    config, found = recipe.config_of(config_class, fields, located, section)
    return ((module, config) if config is not None else None), found


def task_class(module: Any) -> Any:
    """The task of a module in `training/tasks`."""
    return parts.class_of(module)
