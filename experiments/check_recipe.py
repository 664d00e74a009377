"""Validates recipes and studies: faults of preparation, training and search together."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from millstream.tracking.errors import Refusal
from millstream.tracking.host.terminal_text import say

if TYPE_CHECKING:
    from millstream.tracking.dataset.version import Dataset
    from millstream.tracking.errors import Fault
    from millstream.tracking.recipe.schema import Located
    from millstream.tracking.recipe.study import LocatedStudy
    from millstream.tracking.settings import Settings


OF_TRAINING = ("task", "network", "fit", "environment", "search")
"""The sections of a recipe that training reads."""


def located(recipe: str, budget: Any, sets: tuple[str, ...], *, trains: bool = True) -> Located:
    """The recipe. Raises with all of its faults at once, as `checked` finds them."""
    from millstream.tracking.errors import WrongRecipe

    located, faults = checked(recipe, budget, sets, trains=trains)
    WrongRecipe.unless_empty(faults)
    return located


def checked(recipe: str, budget: Any, sets: tuple[str, ...], *, trains: bool = True) -> tuple[Located, list[Fault]]:
    """The recipe and its faults, including those of its sections.

    Without `trains` nothing is imported that only training needs: the fields of task and network are not looked at.
    """
    from millstream.tracking.recipe.loader import load

    located = load(recipe, budget=budget, sets=sets)
    _warn_of_unknown_budget(located)
    return located, [*located.faults, *section_faults(located, trains=trains)]


def checked_study(name: str, budget: Any, sets: tuple[str, ...]) -> tuple[LocatedStudy, list[Fault]]:
    """A study and the faults of all of its combinations, without duplicates."""
    from millstream.tracking.recipe.study import load

    study = load(name, budget=budget, sets=sets)
    _warn_of_unknown_budget(study.base)
    recipes = [recipe for _, recipe in study.combinations] or [study.base]
    return study, list(
        dict.fromkeys([*study.faults, *(fault for recipe in recipes for fault in section_faults(recipe))])
    )


def base_of_study(name: str, budget: Any, sets: tuple[str, ...]) -> tuple[Located, list[Fault]]:
    study, faults = checked_study(name, budget, sets)
    return study.base, faults


def _warn_of_unknown_budget(located: Located) -> None:
    """Warn when the requested budget is not defined: the run falls back to `cpu` and may take hours."""
    budgets = located.section("budgets")
    if located.budget != "cpu" and located.budget not in budgets:
        written = f"only {', '.join(map(str, budgets))}" if budgets else "none"
        say(f"{located.name} has no budget {located.budget} ({written}): it runs as with cpu")


def section_faults(located: Located, *, trains: bool = True) -> list[Fault]:
    from millstream.pipelines import prepare as preparation

    faults = preparation.faults(located)
    if not any(located.section(name) for name in OF_TRAINING):
        return faults  # the training packages take seconds to import
    from millstream.experiments.search import space
    from millstream.training.assembly import validate

    of_search = space.space_of(located, {})[1] if located.section(space.SECTION) else []
    of_training = validate.faults(located) if trains else validate.faults_before_preparation(located)
    return [*faults, *of_training, *of_search]


def unfit(located: Located, *metrics: str) -> list[Fault]:
    """Mismatches between training and data that are known before any row is read.

    `metrics` are required in addition to the recipe's own.
    """
    if not located.recipe.trains:
        return []
    if located.recipe.data is None:
        from millstream.training.loop.job import refuse_unfit

        try:
            refuse_unfit(located, None)
        except Refusal as refused:
            return list(refused.faults)
        return []
    from millstream.pipelines.expected_data import manifests
    from millstream.tracking.settings import Settings
    from millstream.training.assembly.foresee import foreseen_faults

    return foreseen_faults(located, manifests(located, Settings.read(os.environ)), *metrics)


def looked_at(located: Located) -> tuple[list[Fault], list[Fault]]:
    """Faults and doubts of the data of a recipe that has no other faults: samples of its files are read."""
    if located.recipe.data is None:
        return [], []
    from millstream.pipelines.raw_data import look
    from millstream.tracking.settings import Settings

    looked = look(located, Settings.read(os.environ))
    return list(looked.faults), list(looked.doubts)


def engine_doubts(located: Located) -> tuple[list[Fault], list[Fault]]:
    """The fault of an engine that cannot read the names of the columns, or the doubt that another one is chosen."""
    if not located.recipe.trains or located.recipe.data is None:
        return [], []
    from millstream.pipelines.expected_data import manifests
    from millstream.tracking.errors import Fault
    from millstream.tracking.settings import Settings
    from millstream.training.feed.engines.petastorm import unreadable

    known = manifests(located, Settings.read(os.environ))[:1]
    names = unreadable(column.name for one in known for column in one.columns if column.role != "key")
    if not names or located.section("fit").get("engine") == "arrow":
        return [], []
    message = f"fit.engine: petastorm cannot read the column names {names[:5]}"
    if located.section("fit").get("engine") == "petastorm":
        return [Fault(where=located.where("fit.engine"), message=f"{message}; use arrow, or rename them")], []
    return [], [Fault(where=located.where("fit"), message=f"{message}, so that arrow reads the dataset")]


def fields(located: Located) -> list[dict[str, Any]]:
    """Every field of the source, the steps, the task, the network and fit, with its value in the recipe."""
    from millstream.pipelines.prepare import work_of
    from millstream.tracking.recipe import field_docs

    work, found = work_of(located), list[dict[str, Any]]()
    if work is not None:
        found += field_docs.values(work.source, "data.source")
        for name, step in work.steps:
            found += field_docs.values(step, f"data.steps.{name}")
    if located.recipe.trains:
        from millstream.training.assembly import validate

        found += validate.fields(located)
    return found


def needed(located: Located, *, test: bool = True) -> dict[str, str]:
    """The splits that must have rows for training, each with the reason."""
    if not located.recipe.trains:
        return {}
    from millstream.training.assembly import preconditions as at_the_end
    from millstream.training.config.fit import Fit

    return at_the_end.splits(located, Fit.model_validate(located.section("fit")), test=test)


def published(located: Located, settings: Settings) -> Dataset | None:
    """The recipe's prepared dataset version; None without data or before preparation, which reports the reason."""
    from millstream.pipelines.prepare import find
    from millstream.tracking.errors import BadData

    if located.recipe.data is None:
        return None
    try:
        return find(located, settings)
    except BadData:
        return None
