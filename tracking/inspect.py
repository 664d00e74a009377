"""What is in a dataset version, and where a row of it came from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from tracking.dataset import Dataset
from tracking.faults import BadData
from tracking.manifest import LINEAGE

EXAMPLES = 3


def inspect(dataset: Dataset, *, row: str | None = None) -> dict[str, Any]:
    """Columns, rows, classes, steps, checks, quarantine and a few rows; with `row`, the lineage of that sample alone.

    Raises BadData when there is no such sample.
    """
    if row is not None:
        return lineage(dataset, row)
    manifest = dataset.manifest
    return {
        "dataset": manifest.name,
        "version": manifest.version,
        "path": str(dataset.folder),
        "created": manifest.created,
        "seed": manifest.seed,
        "source": manifest.source.model_dump(mode="json", include={"name", "licence", "origin", "files"}),
        "columns": [
            column.model_dump(mode="json", exclude={"vocabulary"}, exclude_none=True) for column in manifest.columns
        ],
        "splits": {
            name: {
                "rows": facts.rows,
                "class_counts": facts.class_counts,
                "digest": facts.digest,
                "shards": len(facts.shards),
            }
            for name, facts in manifest.splits.items()
        },
        "steps": [
            {"name": step.name, "rows_in": step.rows_in, "rows_out": step.rows_out, "seconds": step.seconds}
            for step in manifest.steps
        ],
        "checks": [check.model_dump(mode="json") for check in manifest.checks],
        "quarantine": manifest.quarantine,
        "examples": _examples(dataset),
    }


def lineage(dataset: Dataset, sample_id: str) -> dict[str, Any]:
    """Split, values and ancestors of a sample, up to the files of the source."""
    chain: list[dict[str, Any]] = []
    wanted: str | None = sample_id
    while wanted is not None:
        found = _find(dataset, wanted)
        if found is None:
            break  # the parent itself is no row of this version
        chain.append(found)
        wanted = found["parent_id"]
    if not chain:
        raise BadData.at(f"{dataset.manifest.name}/{dataset.manifest.version}", f"no sample {sample_id!r}")
    source = dataset.manifest.source
    files = [file.model_dump(mode="json") for file in source.files]
    return {
        "sample": chain[0],
        "ancestors": chain[1:],
        "source": {"name": source.name, "origin": source.origin, "files": files},
    }


def _find(dataset: Dataset, sample_id: str) -> dict[str, Any] | None:
    for split in dataset.manifest.splits:
        for shard in dataset.shards(split):
            found = _in_shard(dataset.verified(shard), sample_id)
            dataset.release(shard)
            if found is not None:
                return {"split": split, "file": shard.file, **found}
    return None


def _in_shard(path: Path, sample_id: str) -> dict[str, Any] | None:
    ids = pq.ParquetFile(path).read(columns=["sample_id"]).column(0).to_pylist()
    if sample_id not in ids:
        return None
    at = ids.index(sample_id)
    row = pq.ParquetFile(path).read().slice(at, 1).to_pylist()[0]
    told = {name: _shown(value) for name, value in row.items()}
    return {"row": at, **told, "op": json.loads(row["op"]) if row["op"] else None}


def _examples(dataset: Dataset) -> list[dict[str, Any]]:
    split = next(iter(dataset.manifest.splits))
    path = dataset.verified(dataset.shards(split)[0])
    rows = next(pq.ParquetFile(path).iter_batches(batch_size=EXAMPLES)).to_pylist()
    meanings = {column.name: column for column in dataset.manifest.columns}
    told = []
    for row in rows:
        shown = {name: _shown(value) for name, value in row.items() if name not in LINEAGE or value is not None}
        for name, column in meanings.items():
            if column.classes and isinstance(row.get(name), int):
                shown[name] = f"{row[name]} = {column.classes[row[name]]}"
        told.append(shown)
    return told


def _shown(value: Any) -> Any:
    if isinstance(value, bytes):
        return f"{len(value)} bytes, {np.frombuffer(value, np.uint8)[:8].tolist()}..."
    return value
