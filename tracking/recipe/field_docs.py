"""Every field of a part of a recipe: its type, its default, its meaning. The code has them beside the bounds."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

_WORDS = {int: "whole number", float: "number", str: "text", bool: "true | false", type(None): "null"}
_BOUNDS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<", "min_length": "length >=", "max_length": "length <="}
DEEPEST = 4


def values(config: BaseModel, path: str) -> list[dict[str, Any]]:
    """The fields of a config with their values, each nested config's fields following it."""
    found = []
    for name, about in type(config).model_fields.items():
        value = getattr(config, name)
        inner = value if isinstance(value, BaseModel) else None
        shown = getattr(inner, "name", "") if inner else value
        if not (name == "name" and inner is None and "." in path):
            facts = {"value": _plain(shown), "about": about.description or "", "choices": choices(about.annotation)}
            found.append({"field": f"{path}.{name}", **facts})
        found += values(inner, f"{path}.{name}") if inner else []
    return found


def listed(model: type[BaseModel], path: str = "", depth: int = 0) -> Iterator[dict[str, Any]]:
    """The fields of a model, each nested model's fields following it, as `columns.<name>.type`.

    `default` is None where the field is required.
    """
    for name, info in model.model_fields.items():
        if name == "name" and depth and len(choices(info.annotation)) == 1:
            continue  # it distinguishes the choices of the field above
        field = f"{path}.{name}" if path else name
        default = None if info.is_required() else _plain(info.get_default(call_default_factory=True))
        yield {
            "field": field,
            "type": type_of(info),
            "default": getattr(default, "name", default),
            "required": info.is_required(),
            "meaning": info.description or "",
        }
        inner = list(_models(info.annotation))
        for nested, below in inner if depth < DEEPEST else ():
            chosen = f"({', '.join(choices(nested))})" if len(inner) > 1 else ""
            yield from listed(nested, f"{field}{below}{chosen}", depth + 1)


def type_of(info: FieldInfo) -> str:
    """The type of a field in words, with its bounds."""
    bounds = [
        f"{sign} {getattr(one, bound)}" for one in info.metadata for bound, sign in _BOUNDS.items() if _has(one, bound)
    ]
    return ", ".join([_in_words(info.annotation), *bounds])


def choices(annotation: Any) -> list[str]:
    """The choices of a field: literals, or names of configs."""
    if get_origin(annotation) is Literal:
        return [str(one) for one in get_args(annotation)]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        name = annotation.model_fields.get("name")
        return choices(name.annotation) if name else []
    return [choice for one in get_args(annotation) for choice in choices(one)]


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, BaseModel):
        return getattr(value, "name", value.model_dump(mode="json"))
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(one) for one in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _has(one: Any, bound: str) -> bool:
    return getattr(one, bound, None) is not None


def _in_words(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _in_words(inner[0])
    if origin is Literal:
        return " | ".join(map(str, inner))
    if origin in (Union, types.UnionType):
        return " | ".join(dict.fromkeys(map(_in_words, inner)))
    if origin in (tuple, list):
        each = [_in_words(one) for one in inner if one is not Ellipsis]
        return f"list of {each[0]}" if Ellipsis in inner or origin is list else f"[{', '.join(each)}]"
    if origin is dict:
        return f"{{name: {_in_words(inner[1])}}}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return " | ".join(choices(annotation)) or "fields"
    return _WORDS.get(annotation, getattr(annotation, "__name__", "any value"))


def _models(annotation: Any) -> Iterator[tuple[type[BaseModel], str]]:
    """The models in a type, with the path below the field: of an item of a list, of a value of a mapping."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, ""
        return
    below = {dict: ".<name>", tuple: ".0", list: ".0"}.get(get_origin(annotation), "")
    for one in get_args(annotation):
        yield from ((model, below + path) for model, path in _models(one))
