"""Sequences of a dataset with windows: the windows of one gap-free stretch of a series, in the order of time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np

from millstream.tracking.dataset.manifest import Manifest
from millstream.tracking.dataset.windows import STEP, Windows
from millstream.tracking.errors import BadData
from millstream.training.feed.plan.contiguous import Sequences
from millstream.training.feed.plan.samples import Samples
from millstream.training.feed.read.shards import Shards


class Row(NamedTuple):
    """A stored row: a block of windows. Rows sort by entity and time."""

    entity: str
    time: float
    """Of its first step; seconds for timestamps, as the learned spacing."""
    first: int
    """Its first sample."""
    samples: int


def order_fault(manifest: Manifest) -> str | None:
    """Why the samples of a dataset have no contiguous order; None where they have one."""
    windows = Windows.of(manifest.steps)
    if windows is None:
        return "contiguous: the rows of the dataset have no order; add a step `window`, or leave it out"
    if windows.stride != windows.look_back:
        message = f"contiguous: windows of {windows.look_back} input steps start {windows.stride} steps apart"
        return f"{message}, and each has to start where the last one ends; set the stride to {windows.look_back}"
    return None


def sequences_of(shards: Shards, samples: Samples) -> Sequences:
    """Raises BadData where the samples have no order, and for times that cannot be parsed."""
    manifest = shards.dataset.manifest
    where = f"{manifest.name}/{manifest.version}"
    fault = order_fault(manifest)
    if fault is not None:
        raise BadData.at(where, f"fit.order: {fault}")
    step = next(one for one in manifest.steps if one.name == STEP)
    stored, entity = range(sum(shards.rows)), step.config.get("entity")
    times = _times(shards.texts(step.config["time"], stored), f"{where}, column {step.config['time']}")
    entities = shards.texts(entity, stored) if entity else [""] * len(stored)
    counts = np.ones(len(stored), np.int64) if samples.of_row is None else samples.of_row
    firsts = np.cumsum(counts) - counts
    rows = sorted(map(Row, entities, times, firsts.tolist(), counts.tolist()))
    return Sequences(
        np.concatenate([np.arange(row.first, row.first + row.samples) for row in rows]),
        np.array(_lengths((row for row in rows if row.samples), step.learned), np.int64),
    )


def _lengths(rows: Iterable[Row], learned: Mapping[str, Any]) -> list[int]:
    """Samples of each sequence: those of rows that continue one another are added up."""
    found: list[int] = []
    last: Row | None = None
    for row in rows:
        if last is not None and _continues(last, row, learned):
            found[-1] += row.samples
        else:
            found.append(row.samples)
        last = row
    return found


def _continues(last: Row, row: Row, learned: Mapping[str, Any]) -> bool:
    """Whether `row`, the next in time, belongs to the same stretch as `last`.

    In a stretch, rows start `block` steps apart; a later stretch starts after all steps of the row before. The limit
    lies between the two, since times may be rounded.
    """
    block, overlap = learned["block"], learned["look_back"] + learned["horizon"] - 1
    if row.entity != last.entity or last.samples < block // learned["stride"]:
        return False
    if learned["spacing"] == "any":
        return True
    limit: float = (block + max(1, overlap) / 2) * learned["spacing"]
    return row.time - last.time < limit


def _times(texts: Sequence[str], where: str) -> list[float]:
    """Numbers, or timestamps in ISO 8601 as seconds."""
    for parsed in (int, float, lambda text: datetime.fromisoformat(text).timestamp()):
        try:
            return [parsed(text) for text in texts]
        except ValueError:
            continue
    message = f"{texts[0]!r} is neither a number nor a time such as 2026-01-31 23:00:00"
    raise BadData.at(where, f"fit.order: contiguous: {message}; write the times so, or leave the order out")
