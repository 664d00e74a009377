"""Fields of nested mappings and lists by dotted path, such as `data.steps.split.valid`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def put(tree: Any, field: str, new: Any) -> None:
    """Set a dotted field; an item of a list is addressed by index or by its only key (`data.steps.split.valid`)."""
    *path, last = field.split(".")
    for name in path:
        tree = _step_into(tree, name)
    if isinstance(tree, list):
        if int(last) == len(tree):
            tree.append(new)  # append a step
        else:
            tree[int(last)] = new
    elif isinstance(tree, dict):
        tree[last] = new
    else:
        raise TypeError(f"{field.rpartition('.')[0]} holds {tree!r}, no fields")


def _step_into(tree: Any, name: str) -> Any:
    if isinstance(tree, list):
        if name.isdigit():
            return tree[int(name)]
        named = [step for step in tree if isinstance(step, dict) and name in step]
        if not named:
            raise LookupError(f"no {name!r} in the list")
        return _step_into(named[0], name)
    if not isinstance(tree, dict):
        raise TypeError(f"{tree!r} has no fields")
    if tree.get(name) is None:
        tree[name] = {}
    return tree[name]


def canonical(tree: Any, field: str) -> str:
    """The field's path with list items as indices, as in pydantic's error locations."""
    path = []
    for name in field.split("."):
        if isinstance(tree, list) and not name.isdigit():
            at = next((i for i, step in enumerate(tree) if isinstance(step, dict) and name in step), None)
            if at is None:
                return field
            path.append(str(at))
            tree = tree[at]
        path.append(name)
        tree = (
            tree[int(name)]
            if isinstance(tree, list) and int(name) < len(tree)
            else tree.get(name)
            if isinstance(tree, dict)
            else None
        )
    return ".".join(path)


def parents(field: str) -> Iterable[str]:
    while field:
        yield field
        field = field.rpartition(".")[0]
