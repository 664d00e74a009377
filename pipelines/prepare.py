"""Prepares a dataset version: source, steps, checks, publish."""

from __future__ import annotations

import hashlib
import json
import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel
from pyspark.sql import functions as F

from millstream.pipelines.checks import feed_augmentation, split_checks, static_leakage
from millstream.pipelines.checks.serving import undeclared
from millstream.pipelines.execute_steps import Flow, Say
from millstream.pipelines.publish import publish, quarantine, stores
from millstream.pipelines.publish.stores import Store
from millstream.pipelines.readers import origin_files
from millstream.pipelines.readers.inputs import Inputs
from millstream.pipelines.readers.stored.hashes import Unhashed
from millstream.pipelines.spark import caching, class_archive, failed_jobs, preflight
from millstream.pipelines.spark.frames import named
from millstream.pipelines.spark.session import scratch_of, session
from millstream.pipelines.table import Table
from millstream.tracking.dataset import manifest as contract
from millstream.tracking.dataset.filesystems import place
from millstream.tracking.dataset.manifest import SPLITS, File, Manifest
from millstream.tracking.dataset.version import Dataset
from millstream.tracking.errors import BadData, Fault, WrongRecipe
from millstream.tracking.recipe import plugins, schema
from millstream.tracking.recipe.schema import Data, Located
from millstream.tracking.settings import Settings

SHARED = (
    "put it, MILLSTREAM_HOME and MILLSTREAM_MIRROR on a file system that driver and workers share under the same path; "
    "or put it into a bucket, and give its URL as s3://BUCKET/FILE, as for MILLSTREAM_STORE: workers read it there"
)


class Prepared(BaseModel, frozen=True):
    dataset: str
    version: str
    path: str
    rows: dict[str, int]
    quarantined: int
    reused: bool
    seconds: float


@dataclass(frozen=True)
class Work:
    """The validated configuration of a data section."""

    name: str
    source_name: str
    source: Any
    steps: tuple[tuple[str, Any], ...]
    seed: int


def faults(located: Located) -> list[Fault]:
    """Every error in the data section: unknown names, invalid fields, an order of steps that causes leakage."""
    return _work(located)[1] if located.sections.get("data") is not None else []


def work_of(located: Located) -> Work | None:
    """The configuration of the data section; None when it is invalid or missing."""
    return _work(located)[0] if located.sections.get("data") is not None else None


def prepare(
    located: Located,
    settings: Settings,
    *,
    master: str | None = None,
    say: Say = print,
    needed: Mapping[str, str] = MappingProxyType({}),
) -> Prepared:
    """Prepare the recipe's dataset version, or return the existing one: equal inputs have equal versions.

    `needed` has the splits that must not be empty, besides those required by the recipe's steps, each with the reason.
    Raises WrongRecipe, BadData or BadEnvironment; then nothing is left behind.
    """
    work = _checked(located)
    where = ", ".join(origin_files.named(work.source)) or f"source {work.source_name}"
    with failed_jobs.translated(where), caching.released():
        return _prepare(work, settings, master, say, needed)


def _prepare(work: Work, settings: Settings, master: str | None, say: Say, needed: Mapping[str, str]) -> Prepared:
    started = time.monotonic()
    start = partial(session, master, settings)
    store = stores.open_store(settings, start)
    for name in origin_files.named(work.source):
        stores.reach(place(name), start)
    inputs = Inputs.of(work.source, settings)
    records = inputs.records(lambda: start(raw_bytes=inputs.bytes))
    version = version_of(work, records)
    store.sweep(work.name)
    folder = store.where / work.name / version
    reused = (folder / contract.FILE).is_file()
    if reused:
        say(f"{work.name}/{version} is there already")
        store.point_latest(work.name, version)
    else:
        with publish.room(store, scratch_of(settings)):
            spark = start(raw_bytes=inputs.bytes)
            with store.probe(work.name) as written:
                preflight.check(spark, [written, *inputs.places], SHARED)
            table = inputs.read(spark, work.seed)
            _make(work, table, version, _source_record(work, inputs, records, table), store, say, needed)
        class_archive.make_if_due(spark, say)
    dataset = Dataset.open(folder, store.where)
    for line in quarantine.summary(dataset):
        say(line)
    _check_needed(needed, {name: split.rows for name, split in dataset.manifest.splits.items()})
    return _result(dataset, reused, started)


def find(located: Located, settings: Settings) -> Dataset:
    """The recipe's prepared dataset version. Raises BadData when it is not prepared."""
    work = _checked(located)
    above = place(settings.store) / work.name
    would = f"not prepared yet; `{shlex.join(['millstream', 'prepare', *located.words])}` makes it"
    try:
        folder = above / version_of(work, Inputs.of(work.source, settings).records())
    except Unhashed:
        raise BadData.at(above, would) from None
    if not (folder / contract.FILE).is_file():
        raise BadData.at(folder, would)
    return Dataset.open(folder, settings.store, settings.cache)


def version_of(work: Work, records: tuple[File, ...]) -> str:
    """16 hex digits of a hash of the source's bytes, the resolved data section, the seed and the steps' versions."""
    facts = {
        "format": contract.FORMAT,
        "name": work.name,
        "source": [work.source_name, _fields(work.source), getattr(work.source, "version", 1)],
        "files": [[one.name, one.sha256] if one.tag is None else [one.name, one.tag, one.bytes] for one in records],
        "steps": [[name, step.model_dump(mode="json"), step.version] for name, step in work.steps],
        "seed": work.seed,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:16]


def _make(
    work: Work,
    table: Table,
    version: str,
    source: contract.Source,
    store: Store,
    say: Say,
    needed: Mapping[str, str],
) -> None:
    flow, done = Flow.of(table), []
    for name, step in work.steps:
        flow, one = flow.through(name, step, work.seed, say)
        done.append(one)
    BadData.unless_empty(feed_augmentation.faults([one.record for one in done]))
    flow = flow.settled()
    table = flow.table
    counts = _counts(table, {"train", *(split for _, step in work.steps for split in getattr(step, "required", ()))})
    _check_needed(needed, {split: sum(of.values()) for split, of in counts.items()})
    found = (
        *(check for one in done for check in one.checks),
        split_checks.fits(one.fit for one in done),
        *split_checks.leakage(table),
        *split_checks.alike_classes(table.columns, (one.record for one in done)),
    )
    for line in split_checks.summary(found):
        say(line)
    split_checks.refuse(found)
    with store.staging(work.name, version) as staged:
        splits = publish.write_splits(table, staged, counts, work.seed)
        for name, split in splits.items():
            say(f"{name}: {split.rows:,} rows in {len(split.shards)} shards")
        reasons, refused = publish.write_refused(table.refused, staged)
        manifest = Manifest(
            name=work.name,
            version=version,
            seed=work.seed,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            source=source,
            steps=tuple(one.record for one in done),
            columns=table.columns,
            splits=splits,
            checks=found,
            quarantine=reasons,
            put_aside=refused,
        )
        staged.commit(manifest)
    if flow.memory is not None:
        flow.memory.unpersist()


def _counts(table: Table, required: set[str]) -> dict[str, dict[int | None, int]]:
    """For each split the row count of each class number; all under None unless there is exactly one class column.

    Raises BadData when a row belongs to no split, or a required split has no row.
    """
    label = named(table.classes[0].name) if len(table.classes) == 1 else F.lit(None).cast("int")
    found: dict[Any, dict[int | None, int]] = {}
    for split, at, rows in table.frame.groupBy("split", label).count().collect():
        found.setdefault(split, {})[at] = rows
    if None in found:
        lost = sum(found[None].values())
        raise BadData.at("data.steps", f"{lost} rows belong to no split; add a split step")
    empty = [split for split in SPLITS if split in required and split not in found]
    if empty:
        totals = {split: sum(counts.values()) for split, counts in found.items()}
        would = "give more rows or larger shares, or look at the quarantine reasons"
        raise BadData.at("data.steps", f"no row is left for {' and '.join(empty)} (rows by split: {totals}); {would}")
    return found


def _check_needed(needed: Mapping[str, str], rows: Mapping[str, int]) -> None:
    """Raises BadData with each needed split that has no row, and the reason."""
    BadData.unless_empty(
        Fault(
            where="data.steps",
            message=f"no row is left for {name} (rows by split: {dict(rows)}), and {why}; split some off, or look at "
            "the quarantine reasons",
        )
        for name, why in needed.items()
        if not rows.get(name)
    )


def _work(located: Located) -> tuple[Work | None, list[Fault]]:
    data, found = schema.config_of(Data, located.section("data"), located, "data")
    if data is None:
        return None, found
    source, more = _part("millstream.pipelines.sources", data.source, located, "data.source")
    found += more
    steps = []
    for at, entry in enumerate(data.steps):
        (name, fields), field = next(iter(entry.items())), f"data.steps.{at}"
        step, more = _part("millstream.pipelines.steps", {"name": name, **(fields or {})}, located, field)
        found += more
        if step is not None:
            found += [located.fault(f"{field}.{name}", message) for message in undeclared(name, type(step))]
        steps.append((name, step))
    found += _order_faults(steps, source, located)
    found += _target_faults(steps, source, located)
    if found:
        return None, found
    seed = located.section("fit").get("seed", 0)
    name = str(data.source["name"])
    return Work(data.name or name, name, source, tuple(steps), int(seed)), []


def _part(package: str, section: dict[str, Any], located: Located, field: str) -> tuple[Any, list[Fault]]:
    if not isinstance(section, dict):
        return None, [located.fault(field, f"expected fields, found {section!r}")]
    module, fields, found = schema.part_of(package, section, located, field)
    if module is None:
        return None, found
    inner = f"{field}.{section['name']}" if package.endswith("steps") else field
    return schema.config_of(plugins.class_of(module), fields, located, inner)


def _order_faults(steps: list[static_leakage.Step], source: Any, located: Located) -> list[Fault]:
    roles = static_leakage.declared(source, located.section("task").get("target"))
    found = [
        *static_leakage.of_order(steps),
        *static_leakage.of_weights(steps),
        *static_leakage.of_target(steps, roles),
        *feed_augmentation.of_order(steps),
    ]
    return [located.fault(f"data.steps.{at}.{steps[at][0]}", message) for at, message in sorted(found)]


def _target_faults(steps: list[static_leakage.Step], source: Any, located: Located) -> list[Fault]:
    """The error of a target that is declared as text and not encoded by a step: no network can predict it."""
    target, columns = located.section("task").get("target"), getattr(source, "columns", None)
    column = columns.get(target) if isinstance(columns, dict) and isinstance(target, str) else None
    if getattr(column, "type", None) != "string":
        return []
    encoded = [step.columns if step is not None else "categories" for name, step in steps if name == "encode"]
    if any(chosen == "categories" or target in chosen for chosen in encoded):
        return []
    would = f"put `- encode: {{columns: [{target}]}}` after the split"
    return [located.fault("task.target", f"{target!r} is text, and stays it; {would}")]


def _checked(located: Located) -> Work:
    if located.sections.get("data") is None:
        raise WrongRecipe.at(located.file, "has no data: section, so there is nothing to prepare")
    work, found = _work(located)
    WrongRecipe.unless_empty([*located.faults, *found])
    if work is None:
        raise WrongRecipe.at(located.where("data"), "the data section could not be read")
    return work


def _fields(source: Any) -> dict[str, Any]:
    """The fields that name a version: without the place of a table, as its files are named relative to that."""
    return {name: value for name, value in source.model_dump(mode="json").items() if name != "path"}


def _source_record(work: Work, inputs: Inputs, records: tuple[File, ...], read: Table) -> contract.Source:
    return contract.Source(
        name=work.source_name,
        config={**work.source.model_dump(mode="json"), **read.resolved},
        licence=work.source.licence,
        origin=work.source.origin,
        files=records,
        identity=inputs.identity,
    )


def _result(dataset: Dataset, reused: bool, started: float) -> Prepared:
    manifest = dataset.manifest
    return Prepared(
        dataset=manifest.name,
        version=manifest.version,
        path=str(dataset.folder),
        rows={split: manifest.splits[split].rows if split in manifest.splits else 0 for split in SPLITS},
        quarantined=sum(manifest.quarantine.values()),
        reused=reused,
        seconds=round(time.monotonic() - started, 3),
    )
