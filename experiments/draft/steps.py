"""The steps of a drafted table: parts of its times, the split, missing values, categories."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from millstream.experiments.draft import choices
from millstream.experiments.draft.columns import Column
from millstream.experiments.draft.network import Reading
from millstream.experiments.draft.target import Target
from millstream.experiments.draft.yaml_text import plain
from millstream.pipelines.samples.tables import Sample

BIRTHS = ("birth", "born", "dob")
EVENTS = ("date", "time", "timestamp", "created", "ordered", "datetime", "when", "start")
LEAST_TIMES = 20
YEAR_DAYS, WEEKS_DAYS = 366, 14


def event_of(columns: Sequence[Column]) -> tuple[Column | None, list[Column]]:
    """The column by whose time the rows are split, if any; it is then never null."""
    times = [
        one
        for one in columns
        if one.profile.times is not None
        and one.declared is not None
        and one.profile.missing <= one.profile.rows / 100
        and one.profile.distinct >= LEAST_TIMES
        and not any(word in one.name.lower() for word in BIRTHS)
    ]
    named = [one for one in times if any(word in one.name.lower() for word in EVENTS)]
    event = next(iter(named or times), None)
    if event is None or event.declared is None:
        return None, list(columns)
    declared = {name: value for name, value in event.declared.items() if name != "nullable"}
    event = replace(event, declared=declared)
    return event, [event if one.name == event.name else one for one in columns]


def split_of(
    columns: Sequence[Column], target: Target, sample: Sample, time: Column | None, smoke: int | None
) -> tuple[dict[str, Any], str, tuple[str, ...]]:
    """The split step, why, and doubts about it."""
    shares = {"valid": choices.VALID, "test": choices.TEST}
    given = next((one for one in columns if one.name == "split" and one.declared is not None), None)
    if given is not None:
        there = set(given.profile.counts)
        more = {} if "valid" in there else {"valid": choices.VALID}
        return {"by": "given", **more}, "the column `split`", ()
    if time is not None:
        doubt = f"rows are split by {time.name}: the latest are test, as when the model is used on new rows"
        return {"by": "time", "time": time.name, **shares}, f"{time.name} has the time of each row", (doubt,)
    groups = [
        one
        for one in columns
        if one.role == "key"
        and one.profile.is_id
        and not one.profile.missing
        and one.declared is not None
        and LEAST_TIMES < one.profile.distinct < 0.8 * one.profile.rows
    ]
    if groups:
        key = min(groups, key=lambda one: one.profile.distinct)
        doubt = f"rows with equal {key.name} stay in one split, as its rows may be alike; without: remove `key`"
        return {"by": "hash", "key": key.name, **shares}, f"several rows for each {key.name}", (doubt,)
    if choices.can_stratify(sample.total, target.classes, smoke):
        return {"by": "stratified", **shares}, "the same share of each class in each split", ()
    rare = [name for name, rows in target.classes.items() if rows < choices.LEAST_OF_CLASS]
    doubts = [
        f"{target.name}: {len(rare)} classes have few rows, as {name!r}: no model learns them" for name in rare[:1]
    ]
    return {"by": "hash", **shares}, "each row by itself, at random", tuple(doubts)


def time_features(columns: Sequence[Column], event: Column | None) -> list[tuple[str, dict[str, Any]]]:
    """Parts of the times that a network may read, each with its expression."""
    taken = {one.name.lower() for one in columns}
    found = []
    for column in columns:
        times = column.profile.times
        if times is None or column.declared is None:
            continue
        for part, function in _parts(list(times.values.values()), is_event=event is not None and column is event):
            name = f"{column.name}_{part}"
            if name.lower() not in taken:
                quoted = "`" + column.name.replace("`", "``") + "`"
                feature = {"expression": f"{function}({quoted})", "type": "long"}
                more = {"nullable": True} if column.declared.get("nullable") else {}
                found.append((name, feature | more))
    return found


def _parts(times: Sequence[datetime], *, is_event: bool) -> Iterator[tuple[str, str]]:
    days = (max(times) - min(times)).days
    if days > YEAR_DAYS and not is_event and len({time.year for time in times}) > 1:
        yield "year", "year"
    if days > YEAR_DAYS and len({time.month for time in times}) > 1:
        yield "month", "month"
    if days > WEEKS_DAYS and len({time.weekday() for time in times}) > 1:
        yield "weekday", "dayofweek"
    if len({time.hour for time in times}) > 1:
        yield "hour", "hour"


def feature_step(features: Sequence[tuple[str, dict[str, Any]]]) -> list[str]:
    return ["- features:", "    add:", *(f"      {plain(name)}: {plain(one)}" for name, one in features)] * bool(
        features
    )


def later_steps(
    columns: Sequence[Column], features: Sequence[tuple[str, dict[str, Any]]], sample: Sample, reading: Reading
) -> list[str]:
    """The steps that learn from train: missing values, categories, texts."""
    read = [one.declared or {} for one in columns if one.declared is not None and one.role == "input"]
    gaps = any(one.get("nullable") and one["type"] in ("long", "double") for one in read)
    gaps = gaps or any(feature.get("nullable") for _, feature in features)
    steps = list(reading.steps)
    if gaps and not steps:
        steps.append("- impute: {columns: numbers, method: median, indicator: true}")
    if any(one.declared is not None and one.declared["type"] == "string" and one.role != "key" for one in columns):
        steps.append("- encode: {columns: categories}")
    return steps
