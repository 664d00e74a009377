"""The fields of the parts that a recipe names: sources, steps, tasks, networks, environments, and `fit`."""

from __future__ import annotations

from typing import Any, cast

from pydantic import BaseModel

from millstream.tracking.errors import WrongRecipe
from millstream.tracking.recipe import field_docs, plugins

PACKAGES = {
    "source": "millstream.pipelines.sources",
    "step": "millstream.pipelines.steps",
    "task": "millstream.training.tasks",
    "network": "millstream.training.networks",
    "environment": "millstream.training.environments",
}
FIT = "fit"


def parts() -> dict[str, list[str]]:
    """The names of each kind of part."""
    return {kind: plugins.names(package) for kind, package in PACKAGES.items()}


def fields_of(kind: str | None, name: str) -> tuple[str, list[dict[str, Any]]]:
    """The kind of a part, and its fields. Raises WrongRecipe for an unknown name, or one of several kinds."""
    if name == FIT and kind in (None, FIT):
        from millstream.training.config.fit import Fit

        return FIT, list(field_docs.listed(Fit))
    kinds = _kinds_of(name) if kind is None else [kind]
    if len(kinds) > 1:
        raise WrongRecipe.at(name, f"is the name of a {' and of a '.join(kinds)}; put one of these words before it")
    if not kinds:
        every = [FIT, *(one for names in parts().values() for one in names)]
        raise WrongRecipe.at(
            name, f"no such source, step, task, network or environment; {plugins.suggest(name, every)}"
        )
    try:
        module = plugins.find(PACKAGES[kinds[0]], name)
    except plugins.UnknownPart as error:
        raise WrongRecipe.at(name, str(error.args[0])) from None
    model = module.Config if hasattr(module, "Config") else plugins.class_of(module)
    return kinds[0], list(field_docs.listed(cast(type[BaseModel], model)))


def _kinds_of(name: str) -> list[str]:
    return [kind for kind, names in parts().items() if name in names]
