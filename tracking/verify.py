"""Compares everything that a manifest says with what lies on disk, or behind a URL."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from tracking.dataset import Dataset
from tracking.digest import MODULUS, hexadecimal, rows_digest
from tracking.faults import BadData, Fault
from tracking.manifest import FILE, Shard
from tracking.remote import files_below

FOREIGN_KEY = b"dataset-toolkit."


def verify(dataset: Dataset, say: Callable[[str], None] = lambda told: None) -> list[Fault]:
    """Every fault of a version: files missing, changed or too many; rows, row groups and digests that differ."""
    found: list[Fault] = []
    for split, facts in dataset.manifest.splits.items():
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            looked = list(pool.map(lambda shard: _shard(dataset, shard), facts.shards))
        faults = [fault for one in looked for fault in one.faults]
        found += faults
        total = sum(one.digest for one in looked)
        if not faults and hexadecimal(total % MODULUS) != facts.digest:
            told = f"the digest of its rows is {hexadecimal(total)}; the manifest says {facts.digest}"
            found.append(Fault(where=f"{dataset.folder}/split={split}", message=told))
        rows = sum(shard.rows for shard in facts.shards)
        if rows != facts.rows:
            told = f"{rows} rows in its shards; the manifest says {facts.rows}"
            found.append(Fault(where=f"{dataset.folder}/split={split}", message=told))
        say(f"{split}: {len(facts.shards)} shards looked at")
    return [*found, *_strangers(dataset)]


class _Looked(NamedTuple):
    faults: list[Fault]
    digest: int = 0


def _shard(dataset: Dataset, shard: Shard) -> _Looked:
    where = str(dataset.folder / shard.file)
    try:
        path = dataset.verified(shard)
    except BadData as error:
        return _Looked(list(error.faults))
    try:
        facts = pq.read_metadata(path)
        found = list(_footer(facts, shard, where))
        return _Looked(found) if found else _Looked([], rows_digest(path))
    except (pa.ArrowException, OSError) as error:
        return _Looked([Fault(where=where, message=f"cannot be read as Parquet ({error})")])
    finally:
        dataset.release(shard)


def _footer(facts: Any, shard: Shard, where: str) -> Iterator[Fault]:
    if (facts.num_rows, facts.num_row_groups) != (shard.rows, shard.row_groups):
        told = f"{facts.num_rows} rows in {facts.num_row_groups} row groups"
        yield Fault(where=where, message=f"{told}; the manifest says {shard.rows} in {shard.row_groups}")
    if any(name.startswith(FOREIGN_KEY) for name in facts.metadata or {}):
        yield Fault(where=where, message="holds keys of petastorm's own schema, which may hide code")


def _strangers(dataset: Dataset) -> Iterator[Fault]:
    known = {shard.file for facts in dataset.manifest.splits.values() for shard in facts.shards} | {FILE}
    for name in files_below(dataset.folder):
        if name not in known and name.partition("/")[0] != "quarantine":
            where = str(dataset.folder / name)
            yield Fault(where=where, message="is not in the manifest; somebody put it there, remove it")
