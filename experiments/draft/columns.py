"""How the columns of a table are declared in a draft: types, roles, and which are left out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from millstream.experiments.draft.target import Target
from millstream.pipelines.samples.columns import Profile
from millstream.pipelines.samples.tables import Sample

RESERVED = ("sample_id", "parent_id", "op")
SPLITS = {"train", "valid", "test"}
MOST_LEAKING, LEAST_LEAKING = 50, 20
"""Different values of a column that may leak the target, and rows of a value that count as evidence."""
MOSTLY_MISSING = 0.98
TEXT_NAMES = ("text", "review", "comment", "message", "title", "body", "description", "sentence", "tweet", "content")


@dataclass(frozen=True)
class Column:
    """A column of the draft: how it is declared (None: left out), and why."""

    profile: Profile
    declared: Mapping[str, Any] | None
    why: str

    @property
    def name(self) -> str:
        return self.profile.name

    @property
    def role(self) -> str:
        return str((self.declared or {}).get("role", "input"))


def unfit(name: str) -> str:
    """Why a name cannot be that of a column."""
    if not name:
        return "it has no name"
    if name.lower() in RESERVED or (name.startswith("_") and name != "_id"):
        return "its name is reserved: rename it in the file"
    return ""


def declared_as(found: Profile, target: Target, sample: Sample) -> Column:
    if found.name == target.name:
        return Column(found, _declared_target(found, target), target.why)
    keep = {"type": found.type, "role": "key", **({"nullable": True} if found.missing else {})}
    left_out = None if sample.header or sample.format != "csv" else {"type": "string", "role": "key", "nullable": True}
    if problem := unfit(found.name):
        return Column(found, None, f"left out: {problem}")
    if found.name == "split":
        if set(found.counts) <= SPLITS and not found.missing and "train" in found.counts:
            return Column(found, {"type": "string"}, "the split of each row")
        return Column(found, None, "left out: `split` is the name of the column with train, valid or test")
    if found.kind in ("empty", "constant", "nested"):
        return Column(found, left_out, f"left out: {found.evidence}")
    if found.missing > MOSTLY_MISSING * found.rows:
        return Column(found, left_out, f"left out: missing in {found.missing / found.rows:.1%} of the rows")
    if found.kind in ("key", "text"):
        return Column(found, {**keep, **_written(found)}, f"not read: {found.evidence}")
    declared: dict[str, Any] = {"type": found.type, **_written(found)}
    if found.missing or (not sample.is_complete and found.kind == "number"):
        declared["nullable"] = True
    return Column(found, declared, _with_missing(found))


def _declared_target(found: Profile, target: Target) -> dict[str, Any]:
    kind = "string" if target.is_class else found.type
    return {"type": kind, "role": "target", **({} if target.is_class else _written(found))}


def _written(found: Profile) -> dict[str, Any]:
    """How the numbers or times of a column are written, in the fields of its declaration."""
    if found.times is not None and any(found.times.forms):
        forms = list(found.times.forms)
        return {"form": forms[0] if len(forms) == 1 else forms}
    numbers = found.numbers
    if numbers is None or found.type == "string":
        return {}
    fields = {"prefix": numbers.prefix, "suffix": numbers.suffix, "thousands": numbers.thousands}
    number = {name: value for name, value in fields.items() if value}
    return {"number": number} if number else {}


def _with_missing(found: Profile) -> str:
    return f"{found.evidence}; missing in {found.missing:,} rows" if found.missing else found.evidence


def without_leaks(sample: Sample, columns: Sequence[Column], target: Target) -> list[Column]:
    """The columns, where an input of few values is a key if each value has one class alone: it is known afterwards."""
    if not target.is_class:
        return list(columns)
    values = dict(zip(sample.names, sample.columns, strict=True))
    truth = list(map(str, values[target.name]))

    def decides(column: Column) -> bool:
        if column.role != "input" or column.declared is None or not 2 <= column.profile.distinct <= MOST_LEAKING:
            return False
        classes: dict[str, Counter[str]] = defaultdict(Counter)
        for value, true in zip(values[column.name], truth, strict=True):
            classes[str(value)][true] += 1
        frequent = [found for found in classes.values() if found.total() >= LEAST_LEAKING]
        return all(len(found) == 1 for found in classes.values()) and len({one for f in frequent for one in f}) > 1

    return [_leaking(one, target.name) if decides(one) else one for one in columns]


def _leaking(column: Column, target: str) -> Column:
    why = f"not read: each of its values has one {target} alone"
    doubt = f"each of its values has one {target} alone, as of what is known afterwards; remove `role: key` to read it"
    found = replace(column.profile, doubts=(*column.profile.doubts, doubt))
    return Column(found, {**(column.declared or {}), "role": "key"}, why)


def shown(column: Column) -> str:
    if column.declared is None:
        return "left out"
    what = {"input": column.profile.kind, "key": "key", "target": "target"}[column.role]
    return f"{what} ({column.declared['type']})"


def read_text(columns: Sequence[Column], target: Target) -> tuple[Profile | None, list[Column]]:
    """The text that the network reads, if it reads one; then the other columns are keys."""
    texts = [one for one in columns if one.profile.kind == "text"]
    inputs = [one for one in columns if one.declared is not None and one.role == "input" and one.profile.kind != "time"]
    named = [one for one in texts if one.name.lower() in TEXT_NAMES]
    if not texts or (inputs and not (named and len(inputs) <= 2)):
        return None, list(columns)
    text = max(named or texts, key=lambda one: one.profile.distinct)

    def one(column: Column) -> Column:
        if column.name == text.name:
            return Column(column.profile, {"type": "string"}, column.profile.evidence)
        if column in inputs:
            return Column(column.profile, {**(column.declared or {}), "role": "key"}, "not read, as the text is")
        return column

    return text.profile, [one(column) for column in columns]
