"""Puts the task of a reinforcement recipe into its environment, from which it takes its signature and its data."""

from __future__ import annotations

from typing import Any

from millstream.tracking.errors import WrongRecipe
from millstream.tracking.recipe.schema import Located
from millstream.training.assembly import validate
from millstream.training.assembly.build import Parts, task_on
from millstream.training.task import Task


def enter(parts: Parts, located: Located) -> Task:
    """The task, built for the environment's observations and actions, and standing in it.

    Raises WrongRecipe when the environment section is wrong or the task learns from a dataset alone.
    """
    part, faults = validate.part_config("millstream.training.environments", located, "environment")
    if part is None:
        raise WrongRecipe(*faults)
    environment, config = part
    task: Any = task_on(parts, environment.signature(config), located)
    if not hasattr(task, "enter"):
        raise WrongRecipe.at(
            located.where("task.name"), f"{type(task).__name__} learns from data:, not in an environment:"
        )
    task.enter(environment, config)
    entered: Task = task
    return entered
