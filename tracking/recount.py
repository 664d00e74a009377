"""What a manifest says of its rows, counted again from the rows: classes, values, and that no sample leaked.

Equal ids and equal inputs are found by 64-bit hashes, of which no more than a part is held at a time: the rest waits on
disk, put by its value so that equal ones come together.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tracking import row_hashes
from tracking.dataset import Dataset
from tracking.digest import batches_digest
from tracking.faults import BadData, Fault
from tracking.manifest import LINEAGE, Column, Manifest
from tracking.reading import opened
from tracking.row_hashes import Hashes

PART_ROWS = 4_000_000
"""About so many hashes are held at a time: 36 MB, and as much again to sort them."""
PIECE_ROWS = 8192
NAMED = 3
"""Samples that come twice are named up to so many."""
_HELD = np.dtype([("hash", "<u8"), ("split", "u1")])


class Counted(NamedTuple):
    """What a shard has; `odd` says of how many rows something is not as the columns say."""

    odd: dict[str, int]
    digest: int
    """The sum of its rows' hashes; 0 where something is odd."""
    rows: int
    ops: int
    """Rows that were made from others."""
    classes: Counter[int]
    ids: Hashes
    families: Hashes
    """Of each row's parent, or of the row itself where it has none."""
    contents: Hashes
    """Of each row's inputs."""


def counted(manifest: Manifest, shard: Path, where: str) -> Counted:
    """Count the rows of a verified shard, known as `where`. Raises BadData when its columns are others."""
    parquet, odd, classes = pq.ParquetFile(shard), Counter[str](), Counter[int]()
    if told := _other_columns(parquet.schema_arrow, manifest.columns):
        raise BadData.at(where, told)
    inputs, label = _inputs(manifest), _label(manifest)
    ops, digest, hashes = 0, 0, [[np.empty(0, np.uint64)] for _ in range(3)]
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
        if label is not None:
            classes.update(_counts(_column(piece, label.name)))
        if not any(odd.values()):  # what is odd may have no hash
            digest += batches_digest([piece])
    whole = [np.concatenate(each) for each in hashes]
    found = {told: rows for told, rows in odd.items() if rows}
    return Counted(found, 0 if found else digest, len(whole[0]), ops, classes, *whole)


class Recount:
    """Adds up what was counted; used as a context, since it keeps hashes in a temporary folder."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.manifest = dataset.manifest
        self.classes: dict[str, Counter[int]] = {split: Counter() for split in self.manifest.splits}
        self.rows, self.synthetic = 0, 0

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="millstream-")
        rows = sum(split.rows for split in self.manifest.splits.values())
        names = ("ids", "families", "contents")
        self.ids, self.families, self.contents = (_Hashed(Path(self._folder.name) / name, rows) for name in names)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._folder.cleanup()

    def add(self, split: str, shard: Counted) -> None:
        """Take in what was counted in a shard."""
        number = list(self.manifest.splits).index(split)
        self.rows += shard.rows
        self.synthetic += shard.ops * (split != "train")
        self.classes[split].update(shard.classes)
        self.ids.add(shard.ids, number)
        self.families.add(shard.families, number)
        self.contents.add(shard.contents, number)

    def faults(self) -> list[Fault]:
        """What differs from the manifest, once all rows were added; nothing is told while some are missing."""
        shards = (shard for split in self.manifest.splits.values() for shard in split.shards)
        if self.rows != sum(shard.rows for shard in shards):
            return []
        doubled = self.ids.doubled()
        figures = {
            "sample ids are unique": {"doubled": len(doubled)},
            "no sample or parent in two splits": {"shared": self.families.in_two_splits()},
            "nothing synthetic outside train": {"synthetic": self.synthetic},
        }
        where = f"{self.manifest.name}/{self.manifest.version}"
        found = [Fault(where=where, message=f"{told} comes more than once") for told in self._named(doubled)]
        for name, told in figures.items():
            if any(told.values()):
                found.append(Fault(where=where, message=f"check {name!r}: {told}; prepare it again"))
        contents = self.contents.in_two_splits() if _inputs(self.manifest) else 0
        figures["equal inputs in two splits"] = {"contents": contents}
        for check in self.manifest.checks:
            known = figures.get(check.name, check.figures)  # one that tells of no row is taken as it is
            if check.figures != known or not check.ok:
                said = f"the manifest says {check.figures}, {'ok' if check.ok else 'not ok'}"
                found.append(Fault(where=where, message=f"check {check.name!r}: {known}; {said}"))
        return [*found, *self._other_classes()]

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
                told = f"rows of each class, counted and as the manifest says: {differing}"
                yield Fault(where=f"{self.dataset.folder}/split={split}", message=told)

    def _named(self, doubled: Hashes) -> list[str]:
        """The first ids that come more than once."""
        wanted, seen = set(doubled[:NAMED].tolist()), Counter[str]()
        if wanted:
            for split in self.manifest.splits:
                for shard in self.dataset.shards(split):
                    with opened(self.dataset, shard) as parquet:
                        ids = parquet.read(columns=["sample_id"]).column(0)
                    mine = np.isin(row_hashes.of_values(ids.combine_chunks()), np.array(list(wanted), np.uint64))
                    seen.update(f"sample {one!r}" for one in ids.filter(pa.array(mine)).to_pylist())
        return sorted(told for told, count in seen.items() if count > 1)


class _Hashed:
    """Hashes with the number of their split, on disk in parts by their value."""

    def __init__(self, folder: Path, rows: int) -> None:
        self.folder = folder
        folder.mkdir()
        self.parts = 1 + rows // PART_ROWS

    def add(self, hashes: Hashes, split: int) -> None:
        held = np.empty(len(hashes), _HELD)
        held["hash"], held["split"] = hashes, split
        part = hashes % np.uint64(self.parts)
        for at in np.unique(part):
            with (self.folder / str(at)).open("ab") as file:
                held[part == at].tofile(file)

    def doubled(self) -> Hashes:
        """Those that come more than once."""
        return np.concatenate([hashes[counts > 1] for hashes, counts, _, _ in self._groups()])

    def in_two_splits(self) -> int:
        """How many stand in more than one split."""
        return int(sum(np.count_nonzero(low != high) for _, _, low, high in self._groups()))

    def _groups(self) -> Iterator[tuple[Hashes, NDArray[Any], NDArray[Any], NDArray[Any]]]:
        """Of each part the different hashes, how often each comes, and the lowest and highest split of each."""
        yield (np.empty(0, np.uint64), *(np.empty(0, int),) * 3)  # so that there is one, even without rows
        for file in sorted(self.folder.iterdir()):
            held = np.fromfile(file, _HELD)
            held = held[np.argsort(held["hash"])]  # a sort of records is ten times slower
            hashes, starts, counts = np.unique(held["hash"], return_index=True, return_counts=True)
            low, high = (reduce.reduceat(held["split"], starts) for reduce in (np.minimum, np.maximum))
            yield hashes, counts, low, high


def _inputs(manifest: Manifest) -> list[str]:
    return [column.name for column in manifest.columns if column.role == "input"]


def _label(manifest: Manifest) -> Column | None:
    labels = [one for one in manifest.columns if one.role == "target" and one.meaning == "category"]
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
    """How a shard's columns differ from those of the manifest."""
    wanted = [*LINEAGE, *(column.name for column in columns)]
    if sorted(schema.names) != sorted(wanted):
        return f"has the columns {schema.names}; the manifest says {wanted}"
    for column in columns:
        kind = schema.field(column.name).type
        if not _fits(kind, column):
            return f"column {column.name!r} holds {kind}; the manifest says {column.dtype}, {column.layout}"
    return None


def _fits(kind: pa.DataType, column: Column) -> bool:
    if column.layout == "tensor":
        return bool(pa.types.is_binary(kind))
    if column.layout == "list":
        return bool(pa.types.is_list(kind)) and _fits(kind.value_type, column.model_copy(update={"layout": "scalar"}))
    return bool(_KINDS.get(column.dtype, pa.types.is_integer)(kind))


def _misfits(values: pa.Array, column: Column) -> dict[str, int]:
    """What is wrong with values, and in how many rows; missing ones are right."""
    if column.layout == "tensor":
        size = int(np.prod(column.shape)) * np.dtype(column.dtype).itemsize
        return {f"column {column.name!r}: other than {size} bytes": _true(pc.not_equal(pc.binary_length(values), size))}
    if column.layout == "list":
        longest, known = column.shape[0], column.vocabulary
        told = {
            f"column {column.name!r}: longer than {longest}": _true(pc.greater(pc.list_value_length(values), longest))
        }
        if known is not None:
            told[f"column {column.name!r}: no token of the vocabulary"] = _outside(values.flatten(), len(known))
        return told
    if column.classes is not None and column.dtype != "string":
        return {f"column {column.name!r}: no class": _outside(values, len(column.classes))}
    return {}


def _outside(values: pa.Array, count: int) -> int:
    return _true(pc.or_(pc.less(values, 0), pc.greater_equal(values, count)))


def _true(values: pa.Array) -> int:
    return int(pc.sum(values).as_py() or 0)
