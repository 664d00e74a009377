"""Compares everything that a manifest says with what lies on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tracking.dataset import Dataset
from tracking.digest import MODULUS, hexadecimal, rows_digest
from tracking.faults import BadData, Fault
from tracking.manifest import FILE, Shard

FOREIGN_KEY = b"dataset-toolkit."


def verify(dataset: Dataset, say: Callable[[str], None] = lambda told: None) -> list[Fault]:
    """Every fault of a version: files missing, changed or too many; rows, row groups and digests that differ."""
    found: list[Fault] = []
    for split, facts in dataset.manifest.splits.items():
        total, whole = 0, True
        for shard in facts.shards:
            faults = list(_shard(dataset, shard))
            found += faults
            whole = whole and not faults
            if not faults:
                total += rows_digest(dataset.folder / shard.file)
        if whole and hexadecimal(total % MODULUS) != facts.digest:
            told = f"the digest of its rows is {hexadecimal(total)}; the manifest says {facts.digest}"
            found.append(Fault(where=f"{dataset.folder}/split={split}", message=told))
        rows = sum(shard.rows for shard in facts.shards)
        if rows != facts.rows:
            told = f"{rows} rows in its shards; the manifest says {facts.rows}"
            found.append(Fault(where=f"{dataset.folder}/split={split}", message=told))
        say(f"{split}: {len(facts.shards)} shards looked at")
    return [*found, *_strangers(dataset)]


def _shard(dataset: Dataset, shard: Shard) -> Iterator[Fault]:
    try:
        path = dataset.verified(shard)
        facts = pq.read_metadata(path)
    except BadData as error:
        yield from error.faults
        return
    except (pa.ArrowException, OSError) as error:
        yield Fault(where=shard.file, message=f"cannot be read as Parquet ({error})")
        return
    if (facts.num_rows, facts.num_row_groups) != (shard.rows, shard.row_groups):
        told = f"{facts.num_rows} rows in {facts.num_row_groups} row groups"
        yield Fault(where=str(path), message=f"{told}; the manifest says {shard.rows} in {shard.row_groups}")
    if any(name.startswith(FOREIGN_KEY) for name in facts.metadata or {}):
        yield Fault(where=str(path), message="holds keys of petastorm's own schema, which may hide code")


def _strangers(dataset: Dataset) -> Iterator[Fault]:
    known = {shard.file for facts in dataset.manifest.splits.values() for shard in facts.shards} | {FILE}
    for path in sorted(dataset.folder.rglob("*")):
        name = path.relative_to(dataset.folder).as_posix()
        if path.is_file() and name not in known and Path(name).parts[0] != "quarantine":
            yield Fault(where=str(path), message="is not in the manifest; somebody put it there, remove it")
