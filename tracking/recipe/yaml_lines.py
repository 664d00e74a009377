"""Reads YAML as plain data, with the line number of each field.

Only mappings, lists and plain values: no tags (they could construct objects), no anchors (they could expand without
bound), no duplicate keys. Used for recipes and for the values of `--set`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from millstream.tracking.errors import Fault, WrongRecipe

Lines = dict[str, int]

PLAIN_TAGS = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float", "str", "seq", "map"))
LARGEST_BYTES = 1 << 20


def read(file: Path) -> tuple[Any, Lines]:
    """The content of `file`, and the line of each field by its dotted path (`data.steps.0.split`).

    Raises WrongRecipe with every fault in the text.
    """
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise WrongRecipe.at(file, f"cannot be read ({error.strerror}); give the path of a YAML file") from None
    if len(raw) > LARGEST_BYTES:
        raise WrongRecipe.at(file, f"{len(raw)} bytes; a recipe has at most {LARGEST_BYTES}")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise WrongRecipe.at(file, f"not UTF-8 (byte {error.start}); save it as UTF-8") from None
    return parse(text, file)


def parse(text: str, where: object) -> tuple[Any, Lines]:
    """Same as `read`, for text that came from `where`."""
    try:
        _refuse_anchors(text, where)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{where}:{mark.line + 1}" if mark else str(where)
        problem = getattr(error, "problem", None) or str(error)
        raise WrongRecipe.at(place, f"not YAML: {problem}") from None
    except RecursionError:
        raise WrongRecipe.at(where, "nested too deeply; a recipe has a handful of levels") from None
    if node is None:
        raise WrongRecipe.at(where, "empty; a recipe has at least about, task, network and fit")
    reader = _Reader(where)
    value = reader.value(node, "")
    WrongRecipe.unless_empty(reader.faults)
    return value, reader.lines


def _refuse_anchors(text: str, where: object) -> None:
    for token in yaml.scan(text, Loader=yaml.SafeLoader):
        if isinstance(token, yaml.AnchorToken | yaml.AliasToken):
            line = token.start_mark.line + 1
            raise WrongRecipe.at(f"{where}:{line}", "anchors and aliases (& and *) are not read; write the value out")


class _Reader:
    def __init__(self, where: object) -> None:
        self.where = where
        self.lines: Lines = {}
        self.faults: list[Fault] = []

    def value(self, node: yaml.Node, path: str) -> Any:
        self.lines[path] = node.start_mark.line + 1
        if node.tag not in PLAIN_TAGS and not node.tag.endswith(":timestamp"):
            self._fault(node, f"{path or 'the document'}: tag {node.tag!r} is not read; plain values only")
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, _join(path, str(at))) for at, item in enumerate(node.value)]
        if node.tag.endswith(":timestamp"):
            return node.value  # a date is kept as text
        return _construct(node)

    def _mapping(self, node: yaml.MappingNode, path: str) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else "?"
            if key in mapping:
                self._fault(key_node, f"{_join(path, key)}: given twice; keep one")
            mapping[key] = self.value(value_node, _join(path, key))
            self.lines[_join(path, key)] = key_node.start_mark.line + 1
        return mapping

    def _fault(self, node: yaml.Node, message: str) -> None:
        self.faults.append(Fault(where=f"{self.where}:{node.start_mark.line + 1}", message=message))


def _construct(node: yaml.Node) -> Any:
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_object(node)
    finally:
        loader.dispose()


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
