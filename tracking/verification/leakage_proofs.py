"""Leakage checks that `verify` can recompute from the published rows: origins of synthetic rows, groups, times.

The checks of groups and times were made right after the split. If rows were dropped or synthesized since, or a column
was dropped or changed, the manifest is trusted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from millstream.tracking.dataset.manifest import SPLITS, Check, Manifest
from millstream.tracking.dataset.records import Column
from millstream.tracking.verification import row_hashes
from millstream.tracking.verification.row_hashes import Hashes

GROUPS = "no group in two splits"
TIMES = "splits follow each other in time"
_SPLIT = "split"
_PARTNERS = ("neighbour", "partner")
"""Names in an op for the second parent of a row."""
_PARTNER = re.compile(rf'"({"|".join(_PARTNERS)})"')
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Ends = tuple[float, float]
"""First and last time: integer microseconds since 1970, or numbers unchanged."""


class Watched(NamedTuple):
    """Group and time columns of the split; None if a later step may have changed them."""

    group: Column | None
    time: Column | None

    @classmethod
    def of(cls, manifest: Manifest) -> Self:
        time = _column(manifest, TIMES, "time")
        return cls(_column(manifest, GROUPS, "key"), None if time is None or time.dtype == "string" else time)


def ends(times: pa.Array) -> Ends | None:
    """First and last time; None if there is none."""
    whole = (
        times.cast(pa.timestamp("us", times.type.tz)).cast(pa.int64()) if pa.types.is_timestamp(times.type) else times
    )
    found = pc.min_max(whole).as_py()
    return None if found["min"] is None else (found["min"], found["max"])


def of_groups(check: Check, groups: int, shared: int) -> Iterator[str]:
    """Contradictions between rows and a group check: number of groups, and of groups in two splits."""
    declared = check.figures.get("groups")
    if shared or not isinstance(declared, int) or groups > declared:
        yield f"{groups} groups, {shared} of them in two splits"


def of_times(check: Check, ends_of: Mapping[str, Ends]) -> Iterator[str]:
    """Contradictions between rows and a time check: a split outside its range, or too close to the previous split."""
    try:
        declared = {split: tuple(map(_moment, check.figures[split])) for split in ends_of}
        gap = float(check.figures["gap asked"].split()[0]) * timedelta(days=1) / timedelta(microseconds=1)
    except (KeyError, ValueError, TypeError, AttributeError, IndexError):
        yield "has no first and last time of each split, or no gap"
        return
    for split, (first, last) in ends_of.items():
        if not declared[split][0] <= first <= last <= declared[split][-1]:
            yield f"{split} goes from {_formatted(check, split, first)} to {_formatted(check, split, last)}"
    ordered = [split for split in SPLITS if split in ends_of]
    for before, after in pairwise(ordered):
        apart = ends_of[after][0] - ends_of[before][1]
        if apart <= 0 or apart < gap:
            yield f"{after} begins before {before} has ended, or nearer than the gap"


def origins(parents: pa.Array, ops: pa.Array) -> Hashes:
    """Hashes of the rows that synthetic rows derive from: their parents, and neighbours and partners in their ops."""
    if ops.null_count == len(ops):
        return np.empty(0, np.uint64)
    made = pc.is_valid(ops)
    partnered = ops.filter(pc.fill_null(pc.match_substring_regex(ops, _PARTNER.pattern), False)).to_pylist()
    others = pa.array([partner for op in partnered for partner in _partners(op)], pa.string())
    both = [row_hashes.of_values(each) for each in (parents.filter(made), others)]
    return np.unique(np.concatenate(both))


def _column(manifest: Manifest, name: str, figure: str) -> Column | None:
    """The scalar column of a check, unless a step after the split names it and so may have changed it."""
    check = next((one for one in manifest.checks if one.name == name), None)
    column = next((one for one in manifest.columns if check and one.name == check.figures.get(figure)), None)
    if column is None or column.layout != "scalar":
        return None
    steps = [step.name for step in manifest.steps]
    since = manifest.steps[steps.index(_SPLIT) + 1 :] if _SPLIT in steps else manifest.steps
    is_touched = any(column.name in (*step.learned, *_texts(step.config)) for step in since)
    return None if is_touched else column


def _texts(config: Any) -> Iterator[str]:
    """All strings in the config of a step, which include the columns that it may have changed."""
    if isinstance(config, str):
        yield config
    elif isinstance(config, Mapping | list | tuple):
        for part in config.values() if isinstance(config, Mapping) else config:
            yield from _texts(part)


def _moment(value: object) -> float:
    """A time of a check in microseconds since 1970; a number unchanged."""
    if isinstance(value, str):
        return (datetime.fromisoformat(value) - _EPOCH) // timedelta(microseconds=1)
    if isinstance(value, int | float):
        return value
    raise TypeError(value)


def _formatted(check: Check, split: str, time: float) -> str:
    is_text = isinstance(check.figures[split][0], str)
    return (_EPOCH + timedelta(microseconds=time)).isoformat() if is_text else f"{time:g}"


def _partners(op: str) -> Iterator[str]:
    """Ids of other rows in the ops of a row and of its ancestors."""
    partners: list[str] = []

    def look(pairs: list[tuple[str, Any]]) -> None:
        partners.extend(value for name, value in pairs if name in _PARTNERS and isinstance(value, str))

    with suppress(ValueError):  # not JSON
        json.loads(op, object_pairs_hook=look)
    return iter(partners)
