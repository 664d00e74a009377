"""Loads a recipe (YAML file, base, budget and `--set`) with the source line of each field; lists shipped recipes."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from millstream.tracking.errors import Fault, WrongRecipe
from millstream.tracking.recipe import field_paths, plugins, store_names, yaml_lines
from millstream.tracking.recipe.schema import BUDGETS, Budget, Located, Recipe, config_of

STUDIES = "studies/"


def load(name: str, *, budget: Budget = "cpu", sets: Iterable[str] = ()) -> Located:
    """The recipe called `name` (`cnn/lenet-mnist`) or in the YAML file `name`, with its budget and then `sets` applied.

    `sets` are texts `field.path=value`, with the value parsed as plain YAML. Faults in the recipe's structure are
    collected in the result, to be raised together with those of the sections. Raises WrongRecipe for invalid YAML, or
    text that is not a recipe.
    """
    file = _file(name)
    return locate(read(file), _name(name, file), file, budget=budget, sets=sets)


@dataclass(frozen=True)
class Written:
    """Sections of a file merged over those of its base, with the source line of each field."""

    sections: dict[str, Any]
    lines: dict[str, str]
    faults: list[Fault]


Change = tuple[str, Any, str]
"""A dotted field, its new value, and its source line."""


def read(file: Path) -> Written:
    """Raises WrongRecipe for invalid YAML, or text that is not a recipe."""
    return Written(*_read(file, ()))


def locate(
    written: Written,
    name: str,
    file: Path,
    *,
    budget: Budget = "cpu",
    sets: Iterable[str] = (),
    changes: Iterable[Change] = (),
) -> Located:
    """The written recipe with its budget, then `sets`, then `changes` applied."""
    value, lines, faults = copy.deepcopy(written.sections), dict(written.lines), list(written.faults)
    for field, new in _budget_changes(value, budget):
        written_at = f"budgets.{budget}.{field}"
        faults += _change(value, field, new, lines.get(written_at, str(file)))
        _place(lines, field_paths.canonical(value, field), _below(lines, written_at))
    overrides, sets = [], tuple(sets)
    for text in sets:
        field, equals, given = text.partition("=")
        if not equals or not field:
            faults.append(Fault(where=f"--set {text}", message="expected field.path=value, such as fit.epochs=3"))
            continue
        new = yaml_lines.parse(given, f"--set {field}")[0] if given.strip() else ""
        faults += _change(value, field, new, f"--set {field}")
        overrides.append(field_paths.canonical(value, field))
        _place(lines, overrides[-1], {})
    for field, new, where in changes:
        faults += _change(value, field, copy.deepcopy(new), where)
        _place(lines, field_paths.canonical(value, field), {"": where})
    located = Located(value, name, file, budget, lines, tuple(overrides), sets)
    faults += config_of(Recipe, value, located, "")[1]
    unfit = store_names.unfit(name) if "task" in value else None  # a data-only recipe registers nothing
    faults += [Fault(where=str(file), message=unfit)] if unfit else []
    return replace(located, faults=tuple(faults))


def _read(file: Path, on_the_way: tuple[Path, ...]) -> tuple[dict[str, Any], dict[str, str], list[Fault]]:
    """Sections of a file merged over those of its base, with the source line of each field.

    A section in the file replaces that of the base; `change` then sets single fields by their dotted paths.
    """
    value, numbers = yaml_lines.read(file)
    if not isinstance(value, dict):
        raise WrongRecipe.at(file, f"expected a mapping with about, task, network, fit; found {type(value).__name__}")
    lines = {field: f"{file}:{number}" for field, number in numbers.items()}
    if "base" not in value:
        return value, lines, []
    where = lines["base"]
    base = _base(str(value.pop("base")), file, where)
    if base in (*on_the_way, file):
        raise WrongRecipe.at(where, f"base: {base.stem} is based on this recipe again; a chain of bases has an end")
    below, places, faults = _read(base, (*on_the_way, file))
    changes = value.pop("change", None) or {}
    if not isinstance(changes, dict):
        raise WrongRecipe.at(
            lines.get("change", where), "change: expected fields such as data.steps.scale.method: unit"
        )
    merged = below | value
    places = {field: place for field, place in places.items() if field.partition(".")[0] not in value} | lines
    for field, new in changes.items():
        faults += _change(merged, field, new, lines.get(f"change.{field}", where))
        _place(places, field_paths.canonical(merged, field), _below(lines, f"change.{field}"))
    return merged, places, faults


def _below(lines: Mapping[str, str], field: str) -> dict[str, str]:
    """Source lines of a field and its subfields, by the path relative to the field."""
    return {path[len(field) :]: where for path, where in lines.items() if f"{path}.".startswith(f"{field}.")}


def _place(lines: dict[str, str], field: str, places: Mapping[str, str]) -> None:
    """Replace the source lines of a field and its subfields."""
    for below in _below(lines, field):
        del lines[field + below]
    lines.update({field + below: where for below, where in places.items()})


def _base(name: str, file: Path, where: str) -> Path:
    known = catalogue()
    if name in known:
        return known[name]
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        raise WrongRecipe.at(
            where, f"base: no such recipe; {plugins.suggest(name, known)}; or a YAML file beside this one"
        )
    if path.is_absolute() or ".." in path.parts:
        raise WrongRecipe.at(
            where, f"base: {name} leads out of the recipe's folder; name a shipped recipe or a file beside"
        )
    return (file.parent / path).resolve()


def catalogue() -> dict[str, Path]:
    """Shipped recipes by name, without studies."""
    return {name: file for name, file in _shipped().items() if not name.startswith(STUDIES)}


def studies() -> dict[str, Path]:
    """Shipped studies by name: `studies/initialisation`."""
    return {name: file for name, file in _shipped().items() if name.startswith(STUDIES)}


def _shipped() -> dict[str, Path]:
    root = Path(str(resources.files("millstream.recipes")))
    return {file.relative_to(root).with_suffix("").as_posix(): file for file in sorted(root.glob("*/*.yaml"))}


def summaries() -> list[dict[str, Any]]:
    """Summary of each shipped recipe, for listings."""
    rows = []
    for name in catalogue():
        recipe = load(name).recipe
        source = (recipe.data.source["name"] if recipe.data.name is None else recipe.data.name) if recipe.data else None
        environment = recipe.environment or {}
        rows.append(
            {
                "name": name,
                "family": name.partition("/")[0],
                "about": recipe.about,
                "task": recipe.task["name"] if recipe.task else None,
                "source": source or environment.get("id") or environment.get("name"),
                "budgets": sorted(recipe.budgets, key=BUDGETS.index),
                "pass": recipe.marks,
            }
        )
    return rows


def _file(name: str) -> Path:
    known = catalogue()
    if name in known:
        return known[name]
    file = Path(name)
    if file.suffix in (".yaml", ".yml"):
        return file
    raise WrongRecipe.at(
        f"recipe {name!r}", f"no such recipe; {plugins.suggest(name, known)}; or give the path of a YAML file"
    )


def _name(name: str, file: Path) -> str:
    by_file = {path.resolve(): known for known, path in catalogue().items()}
    return by_file.get(file.resolve(), file.stem) if name not in by_file.values() else name


def _budget_changes(value: dict[str, Any], budget: str) -> list[tuple[str, Any]]:
    budgets = value.get("budgets")
    chosen = budgets.get(budget) if isinstance(budgets, dict) else None
    return list(chosen.items()) if isinstance(chosen, dict) else []


def _change(tree: dict[str, Any], field: str, new: Any, where: str) -> list[Fault]:
    try:
        field_paths.put(tree, field, new)
    except (LookupError, TypeError, ValueError) as error:
        return [Fault(where=where, message=f"{field}: no such place in the recipe ({error})")]
    return []
