"""Compares a manifest with the files of its version, local or remote.

Two things computed by Spark are recomputed here by separate code: the digest of the rows, and the leakage checks.
What rows cannot show is trusted: which rows a step learned from, which inputs are near-duplicates, and the groups and
times of a split whose column was dropped, or named by a later step.
"""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from millstream.tracking.dataset.filesystems import files_below
from millstream.tracking.dataset.manifest import ASIDE, ASIDE_FILE, FILE, Shard
from millstream.tracking.dataset.shard_reader import quarantined
from millstream.tracking.dataset.version import Dataset
from millstream.tracking.errors import BadData, Fault
from millstream.tracking.verification.content_digest import MODULUS, hexadecimal
from millstream.tracking.verification.recount import Counted, Recount, counted

FOREIGN_KEY = b"dataset-toolkit."
_MANY_ROWS = 500_000
_REPORTS = 10
"""Progress reports per split."""

Say = Callable[[str], None]


def verify(dataset: Dataset, say: Say = lambda message: None) -> list[Fault]:
    """All faults of a version: files missing, changed or unexpected; rows, row groups, digests, classes, values and
    checks that differ from the manifest; samples that are duplicates or in two splits.

    Memory does not grow with the number of rows.
    """
    faults: list[Fault] = []
    files = files_below(dataset.folder)
    with Recount(dataset) as recount, _workers(dataset) as pool:
        for split in dataset.manifest.splits:
            faults += _split(dataset, split, recount, pool, say)
        faults += recount.faults()
    return [*faults, *_quarantine_faults(dataset, files), *_strangers(dataset, files)]


def _split(dataset: Dataset, split: str, recount: Recount, pool: Executor, say: Say) -> list[Fault]:
    facts, where = dataset.manifest.splits[split], f"{dataset.folder}/split={split}"
    faults, total = list[Fault](), 0
    for at, looked in enumerate(pool.map(partial(_shard, dataset), facts.shards), start=1):
        faults += looked.faults
        total += looked.digest
        if looked.counted is not None:
            recount.add(split, looked.counted)
        if at % -(-len(facts.shards) // _REPORTS) == 0 or at == len(facts.shards):
            say(f"{split}: {at:,} of {len(facts.shards):,} shards")
    if not faults and hexadecimal(total % MODULUS) != facts.digest:
        message = f"the digest of its rows is {hexadecimal(total)}; the manifest has {facts.digest}"
        faults.append(Fault(where=where, message=message))
    rows = sum(shard.rows for shard in facts.shards)
    if rows != facts.rows:
        faults.append(Fault(where=where, message=f"{rows} rows in its shards; the manifest has {facts.rows}"))
    return faults


def _workers(dataset: Dataset) -> Executor:
    """Processes for many local rows, since hashing rows holds the GIL; they take a second to start."""
    rows = sum(shard.rows for split in dataset.manifest.splits.values() for shard in split.shards)
    if isinstance(dataset.folder, Path) and rows >= _MANY_ROWS:
        return ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn"))
    return ThreadPoolExecutor(os.cpu_count())


class _Looked(NamedTuple):
    faults: list[Fault]
    digest: int = 0
    counted: Counted | None = None


def _shard(dataset: Dataset, shard: Shard) -> _Looked:
    where = str(dataset.folder / shard.file)
    try:
        path = dataset.verified(shard)
    except BadData as error:
        return _Looked(list(error.faults))
    try:
        if faults := list(_footer(pq.read_metadata(path), shard, where)):
            return _Looked(faults)
        whole = counted(dataset.manifest, path, where)
        odd = [Fault(where=where, message=f"{problem} in {rows} rows") for problem, rows in whole.odd.items()]
        return _Looked(odd, whole.digest, whole)
    except BadData as error:
        return _Looked(list(error.faults))
    except (pa.ArrowException, OSError) as error:
        return _Looked([Fault(where=where, message=f"cannot be read as Parquet ({error})")])
    finally:
        dataset.release(shard)


def _footer(facts: Any, shard: Shard, where: str) -> Iterator[Fault]:
    if (facts.num_rows, facts.num_row_groups) != (shard.rows, shard.row_groups):
        message = f"{facts.num_rows} rows in {facts.num_row_groups} row groups"
        yield Fault(where=where, message=f"{message}; the manifest has {shard.rows} in {shard.row_groups}")
    if any(name.startswith(FOREIGN_KEY) for name in facts.metadata or {}):
        yield Fault(where=where, message="holds keys of petastorm's own schema, which may hide code")


def _quarantine_faults(dataset: Dataset, files: list[str]) -> Iterator[Fault]:
    """Faults of the quarantine: files are compared if their hashes are known, and the reasons counted again."""
    changed = [fault for shard in dataset.manifest.put_aside for fault in _changed(dataset, shard)]
    if changed:
        yield from changed
        return
    counts: Counter[str] = Counter()
    for name in filter(ASIDE_FILE.fullmatch, files):
        try:
            for piece in quarantined(dataset, name, ["reason"]):
                counts.update(piece.column(0).to_pylist())
        except (pa.ArrowException, OSError, KeyError) as error:
            where = str(dataset.folder / name)
            yield Fault(where=where, message=f"cannot be read as Parquet with a column `reason` ({error})")
            return
    for reason in sorted(counts.keys() | dataset.manifest.quarantine.keys(), key=str):
        recorded = dataset.manifest.quarantine.get(reason, 0)
        if counts[reason] != recorded:
            message = f"{counts[reason]} rows quarantined because {reason!r}; the manifest has {recorded}"
            yield Fault(where=f"{dataset.folder}/{ASIDE}", message=message)


def _changed(dataset: Dataset, shard: Shard) -> tuple[Fault, ...]:
    try:
        dataset.verified(shard)
    except BadData as error:
        return error.faults
    dataset.release(shard)
    return ()


def _strangers(dataset: Dataset, files: list[str]) -> Iterator[Fault]:
    manifest = dataset.manifest
    listed = [shard for facts in manifest.splits.values() for shard in facts.shards]
    known = {shard.file for shard in (*listed, *manifest.put_aside)} | {FILE}
    unhashed = bool(manifest.quarantine) and not manifest.put_aside
    for name in files:
        if name not in known and not (unhashed and ASIDE_FILE.fullmatch(name)):
            where = str(dataset.folder / name)
            yield Fault(where=where, message="is not in the manifest; somebody put it there, remove it")
