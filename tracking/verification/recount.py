"""Recomputes the manifest's claims from the rows: class counts, value ranges, and leakage checks.

Equal ids and equal inputs are found by 64-bit hashes, of which one partition at a time is in memory; the rest is on
disk, partitioned by hash so that equal ones meet.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from millstream.tracking.dataset.manifest import LINEAGE, Manifest
from millstream.tracking.dataset.records import Column
from millstream.tracking.dataset.shard_reader import opened
from millstream.tracking.dataset.version import Dataset
from millstream.tracking.errors import BadData, Fault
from millstream.tracking.verification import leakage_proofs, row_hashes
from millstream.tracking.verification.content_digest import batches_digest
from millstream.tracking.verification.hash_partitions import Hashed
from millstream.tracking.verification.leakage_proofs import Ends, Watched, ends
from millstream.tracking.verification.row_hashes import Hashes

PART_ROWS = 4_000_000
"""Approximate hashes in memory at a time: 36 MB, and as much again for sorting."""
PIECE_ROWS = 8192
NAMED = 3
"""Maximum number of duplicate samples that are named."""
FINE = ("train", "left out since")
"""Figures without a required value."""


class Counted(NamedTuple):
    """Counts of a shard; `odd` is the number of rows per schema violation."""

    odd: dict[str, int]
    digest: int
    """Sum of the row hashes; 0 if there is any violation."""
    rows: int
    ops: int
    """Synthetic rows."""
    classes: Counter[int]
    ids: Hashes
    families: Hashes
    """Hash of each row's parent, or of the row itself if it has none."""
    contents: Hashes
    """Hash of each row's inputs."""
    origins: Hashes
    """Distinct hashes of the rows that synthetic rows derive from."""
    groups: Hashes
    """Distinct hashes of the groups of original rows; empty if the split used no groups."""
    times: Ends | None


def counted(manifest: Manifest, shard: Path, where: str) -> Counted:
    """Count the rows of a verified shard, reported as `where`. Raises BadData if its schema differs."""
    parquet, odd, classes = pq.ParquetFile(shard), Counter[str](), Counter[int]()
    if problem := _other_columns(parquet.schema_arrow, manifest.columns):
        raise BadData.at(where, problem)
    inputs, label, watched = _inputs(manifest), _label(manifest), Watched.of(manifest)
    ops, digest, hashes = 0, 0, [[np.empty(0, np.uint64)] for _ in range(5)]
    times: list[Ends] = []
    for piece in parquet.iter_batches(batch_size=PIECE_ROWS, use_threads=False):
        for column in manifest.columns:
            odd.update(_misfits(_column(piece, column.name), column))
        ids, parents, made_by = (_column(piece, name) for name in LINEAGE)
        odd.update({"sample_id: missing": ids.null_count})
        ops += len(made_by) - made_by.null_count
        hashes[0].append(row_hashes.of_values(ids))
        has_parents = parents.null_count < len(parents)
        hashes[1].append(row_hashes.of_values(pc.coalesce(parents, ids)) if has_parents else hashes[0][-1])
        hashes[2].append(row_hashes.of_rows(piece, inputs))
        hashes[3].append(leakage_proofs.origins(parents, made_by))
        unmade = piece.filter(pc.is_null(made_by)) if made_by.null_count < len(made_by) else piece
        if watched.group is not None:
            hashes[4].append(np.unique(row_hashes.of_values(_column(unmade, watched.group.name))))
        if watched.time is not None and (found_there := ends(_column(unmade, watched.time.name))):
            times.append(found_there)
        if label is not None:
            classes.update(_counts(_column(piece, label.name)))
        if not any(odd.values()):  # rows with violations may have no hash
            digest += batches_digest([piece])
    ids, families, contents, origins, groups = map(np.concatenate, hashes)
    many = (ids, families, contents, np.unique(origins), np.unique(groups))
    problems = {problem: rows for problem, rows in odd.items() if rows}
    return Counted(problems, 0 if problems else digest, len(ids), ops, classes, *many, _both(times))


class Recount:
    """Aggregates counts of shards; a context, since it keeps hashes in a temporary folder."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.manifest = dataset.manifest
        self.classes: dict[str, Counter[int]] = {split: Counter() for split in self.manifest.splits}
        self.rows, self.synthetic = 0, 0
        self.times: dict[str, list[Ends]] = {}

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="millstream-")
        rows = sum(split.rows for split in self.manifest.splits.values())
        names = ("ids", "families", "contents", "origins", "groups")
        self.ids, self.families, self.contents, self.origins, self.groups = (
            Hashed(Path(self._folder.name) / name, 1 + rows // PART_ROWS) for name in names
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._folder.cleanup()

    def add(self, split: str, shard: Counted) -> None:
        """Add the counts of a shard."""
        number = list(self.manifest.splits).index(split)
        self.rows += shard.rows
        self.synthetic += shard.ops * (split != "train")
        self.classes[split].update(shard.classes)
        self.ids.add(shard.ids, number)
        self.families.add(shard.families, number)
        self.contents.add(shard.contents, number)
        self.origins.add(shard.origins, number)
        self.groups.add(shard.groups, number)
        if shard.times is not None:
            self.times.setdefault(split, []).append(shard.times)

    def faults(self) -> list[Fault]:
        """Differences from the manifest, after all rows were added; empty if rows are missing."""
        shards = (shard for split in self.manifest.splits.values() for shard in split.shards)
        if self.rows != sum(shard.rows for shard in shards):
            return []
        doubled = self.ids.doubled()
        figures = {
            "sample ids are unique": {"doubled": len(doubled)},
            "no sample or parent in two splits": {"shared": self.families.in_two_splits()},
            "nothing synthetic outside train": {"synthetic": self.synthetic},
            "what is synthetic was made from train": self._parents(),
        }
        where = f"{self.manifest.name}/{self.manifest.version}"
        contradicted = [Fault(where=where, message=f"{name} comes more than once") for name in self._named(doubled)]
        for name, counts in figures.items():
            if any(rows for figure, rows in counts.items() if figure not in FINE):
                contradicted.append(Fault(where=where, message=f"check {name!r}: {counts}; prepare it again"))
        contents = self.contents.in_two_splits() if _inputs(self.manifest) else 0
        figures["equal inputs in two splits"] = {"contents": contents}
        for check in self.manifest.checks:
            known = figures.get(check.name, check.figures)  # checks that rows cannot show are trusted
            if check.figures != known or not check.ok:
                recorded = f"the manifest has {check.figures}, {'ok' if check.ok else 'not ok'}"
                contradicted.append(Fault(where=where, message=f"check {check.name!r}: {known}; {recorded}"))
        return [*contradicted, *self._of_the_split(where), *self._other_classes()]

    def _parents(self) -> dict[str, int]:
        """Number of rows that others derive from: in train, elsewhere, or no longer in any split."""
        counts = self.origins.found_in(self.ids)
        gone = counts.pop(None, 0)
        train = sum(count for at, count in counts.items() if list(self.manifest.splits)[at or 0] == "train")
        return {"train": train, "elsewhere": sum(counts.values()) - train, "left out since": gone}

    def _of_the_split(self, where: str) -> Iterator[Fault]:
        """Contradictions to the split's checks, if the columns it used are unchanged."""
        watched = Watched.of(self.manifest)
        for check in self.manifest.checks:
            contradictions: Iterable[str] = ()
            if check.name == leakage_proofs.GROUPS and watched.group is not None:
                contradictions = leakage_proofs.of_groups(check, self.groups.different(), self.groups.in_two_splits())
            if check.name == leakage_proofs.TIMES and watched.time is not None:
                both = {split: both for split, several in self.times.items() if (both := _both(several))}
                contradictions = leakage_proofs.of_times(check, both)
            for contradiction in contradictions:
                recorded = f"the manifest has {check.figures}"
                yield Fault(where=where, message=f"check {check.name!r}: {contradiction}; {recorded}")

    def _other_classes(self) -> Iterator[Fault]:
        label = _label(self.manifest)
        classes = (label.classes if label else None) or ()
        for split, facts in self.manifest.splits.items():
            counts = {name: self.classes[split][at] for at, name in enumerate(classes)}
            if counts != facts.class_counts:
                differing = {
                    name: (counts.get(name), facts.class_counts.get(name))
                    for name in sorted(counts.keys() | facts.class_counts.keys())
                    if counts.get(name) != facts.class_counts.get(name)
                }
                message = f"rows of each class, counted and in the manifest: {differing}"
                yield Fault(where=f"{self.dataset.folder}/split={split}", message=message)

    def _named(self, doubled: Hashes) -> list[str]:
        """The first duplicate ids."""
        wanted, seen = set(doubled[:NAMED].tolist()), Counter[str]()
        if wanted:
            for split in self.manifest.splits:
                for shard in self.dataset.shards(split):
                    with opened(self.dataset, shard) as parquet:
                        ids = parquet.read(columns=["sample_id"]).column(0)
                    mine = np.isin(row_hashes.of_values(ids.combine_chunks()), np.array(list(wanted), np.uint64))
                    seen.update(f"sample {one!r}" for one in ids.filter(pa.array(mine)).to_pylist())
        return sorted(name for name, count in seen.items() if count > 1)


def _both(several: Sequence[Ends]) -> Ends | None:
    return (min(first for first, _ in several), max(last for _, last in several)) if several else None


def _inputs(manifest: Manifest) -> list[str]:
    return [column.name for column in manifest.columns if column.role == "input"]


def _label(manifest: Manifest) -> Column | None:
    labels = [column for column in manifest.columns if column.role == "target" and column.meaning == "category"]
    return labels[0] if len(labels) == 1 else None


def _column(piece: pa.RecordBatch, name: str) -> pa.Array:
    return piece.column(piece.schema.get_field_index(name))


def _counts(values: pa.Array) -> dict[Any, int]:
    found = values.value_counts()
    return dict(zip(found.field(0).to_pylist(), found.field(1).to_pylist(), strict=True))


_KINDS: dict[str, Callable[[pa.DataType], bool]] = {
    "string": pa.types.is_string,
    "float32": pa.types.is_float32,
    "float64": pa.types.is_float64,
    "datetime64[us]": pa.types.is_timestamp,
}


def _other_columns(schema: pa.Schema, columns: Sequence[Column]) -> str | None:
    """How a shard's schema differs from the manifest."""
    wanted = [*LINEAGE, *(column.name for column in columns)]
    if sorted(schema.names) != sorted(wanted):
        return f"has the columns {schema.names}; the manifest has {wanted}"
    for column in columns:
        kind = schema.field(column.name).type
        if not _fits(kind, column):
            return f"column {column.name!r} holds {kind}; the manifest has {column.dtype}, {column.layout}"
    return None


def _fits(kind: pa.DataType, column: Column) -> bool:
    if column.layout == "tensor":
        return bool(pa.types.is_binary(kind))
    if column.layout == "list":
        return bool(pa.types.is_list(kind)) and _fits(kind.value_type, column.model_copy(update={"layout": "scalar"}))
    return bool(_KINDS.get(column.dtype, pa.types.is_integer)(kind))


def _misfits(values: pa.Array, column: Column) -> dict[str, int]:
    """Violations of the column's schema, with the number of rows; nulls are allowed."""
    if column.layout == "tensor":
        size = int(np.prod(column.shape)) * np.dtype(column.dtype).itemsize
        return {f"column {column.name!r}: other than {size} bytes": _true(pc.not_equal(pc.binary_length(values), size))}
    if column.layout == "list":
        longest, known = column.shape[0], column.vocabulary
        counts = {
            f"column {column.name!r}: longer than {longest}": _true(pc.greater(pc.list_value_length(values), longest))
        }
        if known is not None:
            counts[f"column {column.name!r}: no token of the vocabulary"] = _outside(values.flatten(), len(known))
        return counts
    if column.classes is not None and column.dtype != "string":
        return {f"column {column.name!r}: no class": _outside(values, len(column.classes))}
    return {}


def _outside(values: pa.Array, count: int) -> int:
    return _true(pc.or_(pc.less(values, 0), pc.greater_equal(values, count)))


def _true(values: pa.Array) -> int:
    return int(pc.sum(values).as_py() or 0)
