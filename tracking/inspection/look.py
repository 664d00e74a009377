"""Profile of a dataset version: facts of its manifest, statistics and example rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from millstream.tracking.dataset.manifest import Manifest, Shard
from millstream.tracking.dataset.shard_reader import opened
from millstream.tracking.dataset.version import Dataset
from millstream.tracking.inspection.examples import Examples
from millstream.tracking.inspection.lineage import Row, lineage
from millstream.tracking.inspection.statistics import Gathering, Summary, gathering, summaries
from millstream.tracking.seeds import key

PIECE_ROWS = 4096
LISTED = 8
"""Number of rows listed in the terminal and as JSON."""


@dataclass(frozen=True)
class Look:
    """The profile. Deterministic for a version: repeated calls return the same rows."""

    dataset: Dataset
    summaries: dict[str, dict[str, Summary]]
    """By column, by split."""
    read: dict[str, list[Shard]]
    """Shards that were read, by split."""
    examples: dict[str, list[Row]]
    """Original rows of train by class, under "" if there are no classes; tensors as arrays."""
    families: list[tuple[Row | None, Row]]
    """Augmented rows of train, each after its parent."""

    @property
    def manifest(self) -> Manifest:
        return self.dataset.manifest

    def listed(self) -> list[Row]:
        """A few examples, in turn from each class."""
        turns = zip_longest(*self.examples.values())
        return [row for turn in turns for row in turn if row is not None][:LISTED]

    def report(self) -> dict[str, Any]:
        """As JSON values."""
        manifest = self.manifest
        return {
            "dataset": manifest.name,
            "version": manifest.version,
            "path": str(self.dataset.folder),
            "created": manifest.created,
            "seed": manifest.seed,
            "source": manifest.source.model_dump(mode="json", include={"name", "licence", "origin", "files"}),
            "columns": [
                column.model_dump(mode="json", exclude={"vocabulary"}, exclude_none=True) for column in manifest.columns
            ],
            "splits": {name: _split(manifest, name) | {"read": len(self.read[name])} for name in manifest.splits},
            "statistics": {
                column: {split: summary.model_dump(mode="json") for split, summary in found.items()}
                for column, found in self.summaries.items()
            },
            "steps": [step.model_dump(mode="json", exclude={"version"}) for step in manifest.steps],
            "checks": [check.model_dump(mode="json") for check in manifest.checks],
            "quarantine": manifest.quarantine,
            "examples": [plain(row, manifest) for row in self.listed()],
        }


def look_at(dataset: Dataset, *, most_bytes: int | None = None) -> Look:
    """Profile a version in one pass over verified shards, in memory independent of its number of rows.

    With `most_bytes` only some shards of a larger split are read, chosen by a hash of their names: rows were shuffled
    when written, so any shard is a fair sample of its split. Raises BadData for a corrupt shard, or a
    missing split `train`.
    """
    manifest = dataset.manifest
    read = {split: _chosen(dataset, split, most_bytes) for split in ("train", *manifest.splits)}
    gathered: dict[str, dict[str, Gathering]] = {column.name: {} for column in manifest.columns}
    examples = Examples(manifest)
    for split, shards in read.items():
        for column in manifest.columns:
            gathered[column.name][split] = gathering(column)
        for piece, draws in _pieces(dataset, split, shards):
            for by_split in gathered.values():
                by_split[split].add(piece, draws)
            if split == "train":
                examples.add(piece, draws)
    found = {name: summaries(by_split) for name, by_split in gathered.items()}
    return Look(dataset, found, read, examples.rows(), examples.families(dataset, read["train"]))


def ancestry(dataset: Dataset, sample_id: str) -> dict[str, Any]:
    """A sample, its ancestors, and the location of the oldest one in the source files.

    Raises BadData if there is no such sample.
    """
    manifest = dataset.manifest
    chain, place = lineage(dataset, sample_id)
    rows = [plain(row, manifest) for row in chain]
    files = [file.model_dump(mode="json") for file in manifest.source.files]
    source = {"name": manifest.source.name, "origin": manifest.source.origin, "files": files, "place": place}
    return {"sample": rows[0], "ancestors": rows[1:], "source": source}


def plain(row: Row, manifest: Manifest) -> Row:
    """A row as JSON values: classes by name, tensors as shape and first numbers."""
    columns = {column.name: column for column in manifest.columns}
    shown: Row = {}
    for name, value in row.items():
        column = columns.get(name)
        if isinstance(value, bytes) and column is not None:
            value = np.frombuffer(value, np.dtype(column.dtype).newbyteorder("<"))
        if isinstance(value, np.ndarray):
            shape = column.shape if column else value.shape
            shown[name] = (
                f"{value.dtype.name} {tuple(shape)}: {' '.join(f'{one:.4g}' for one in value.ravel()[:6])} ..."
            )
        elif column is not None and column.classes and isinstance(value, int) and 0 <= value < len(column.classes):
            shown[name] = f"{value} = {column.classes[value]}" if column.classes[value] != str(value) else str(value)
        elif hasattr(value, "isoformat"):
            shown[name] = value.isoformat()
        elif value is not None or name not in ("parent_id", "op"):
            shown[name] = value
    return shown


def _split(manifest: Manifest, name: str) -> dict[str, Any]:
    facts = manifest.splits[name]
    record = {"rows": facts.rows, "class_counts": facts.class_counts, "digest": facts.digest}
    return record | {"shards": len(facts.shards), "bytes": sum(shard.bytes for shard in facts.shards)}


def _chosen(dataset: Dataset, split: str, most_bytes: int | None) -> list[Shard]:
    shards = dataset.shards(split)
    if most_bytes is None:
        return list(shards)
    chosen: list[Shard] = []
    digest, left = dataset.manifest.splits[split].digest, most_bytes
    for shard in sorted(shards, key=lambda shard: key(digest, shard.file, "inspected shards")):
        left -= shard.bytes
        if left < 0 and chosen:
            break
        chosen.append(shard)
    return chosen


def _pieces(dataset: Dataset, split: str, shards: list[Shard]) -> Iterator[tuple[pa.RecordBatch, NDArray[np.float64]]]:
    """Batches of rows, each row with a draw in [0, 1) seeded by the split's content and the row's position."""
    digest = dataset.manifest.splits[split].digest
    for shard in shards:
        draws = np.random.Generator(np.random.PCG64(key(digest, shard.file, "inspected rows"))).random(shard.rows)
        at = 0
        with opened(dataset, shard) as parquet:
            for piece in parquet.iter_batches(batch_size=PIECE_ROWS):
                yield piece, draws[at : at + len(piece)]
                at += len(piece)
