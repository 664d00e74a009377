"""What a manifest says of its rows, counted again from the rows: classes, values, and that no sample leaked.

Equal ids and equal inputs are found by 64-bit hashes, of which no more than a part is held at a time: the rest waits on
disk, put by its value so that equal ones come together. Among a thousand million rows two different ones have the same
hash with a chance of 3 %; ids are compared once more before anybody is told.
"""

from __future__ import annotations

import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pandas.util import hash_array

from tracking.dataset import Dataset
from tracking.faults import Fault
from tracking.manifest import LINEAGE, Column
from tracking.reading import opened

PART_ROWS = 4_000_000
"""About so many hashes are held at a time: 36 MB, and as much again to sort them."""
PIECE_ROWS = 8192
NAMED = 3
"""Samples that come twice are named up to so many."""
_HELD = np.dtype([("hash", "<u8"), ("split", "u1")])
_NULL = np.uint64(0x9E3779B97F4A7C15)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))

Hashes = NDArray[np.uint64]


class Recount:
    """Counts the rows that it is given; used as a context, since it keeps hashes in a temporary folder."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.manifest = dataset.manifest
        self.inputs = [column for column in self.manifest.columns if column.role == "input"]
        labels = [one for one in self.manifest.columns if one.role == "target" and one.meaning == "category"]
        self.label = labels[0] if len(labels) == 1 else None
        self.classes: dict[str, Counter[int]] = {split: Counter() for split in self.manifest.splits}
        self.rows, self.synthetic = 0, 0
        self._alone = threading.Lock()

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

    def add(self, split: str, shard: Path, where: str) -> list[Fault]:
        """Count the rows of a verified shard, known as `where`; its faults, if rows are not as the columns say."""
        parquet, odd = pq.ParquetFile(shard), Counter[str]()
        if told := _other_columns(parquet.schema_arrow, self.manifest.columns):
            return [Fault(where=where, message=told)]
        for piece in parquet.iter_batches(batch_size=PIECE_ROWS):
            for column in self.manifest.columns:
                odd.update(_misfits(_column(piece, column.name), column))
            odd.update({"sample_id: missing": _column(piece, "sample_id").null_count})
            with self._alone:  # shards are looked at by several threads
                self._count(split, piece)
        return [Fault(where=where, message=f"{told} in {count} rows") for told, count in odd.items() if count]

    def _count(self, split: str, piece: pa.RecordBatch) -> None:
        number = list(self.manifest.splits).index(split)
        ids, parents, ops = (_column(piece, name) for name in LINEAGE)
        self.rows += len(piece)
        self.ids.add(_hash_of(ids), number)
        self.families.add(_hash_of(pc.coalesce(parents, ids)), number)
        self.contents.add(_content(piece, self.inputs), number)
        self.synthetic += (len(ops) - ops.null_count) * (split != "train")
        if self.label is not None:
            self.classes[split].update(_counts(_column(piece, self.label.name)))

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
        figures["equal inputs in two splits"] = {"contents": self.contents.in_two_splits() if self.inputs else 0}
        for check in self.manifest.checks:
            known = figures.get(check.name, check.figures)  # one that tells of no row is taken as it is
            if check.figures != known or not check.ok:
                said = f"the manifest says {check.figures}, {'ok' if check.ok else 'not ok'}"
                found.append(Fault(where=where, message=f"check {check.name!r}: {known}; {said}"))
        return [*found, *self._other_classes()]

    def _other_classes(self) -> Iterator[Fault]:
        classes = (self.label.classes if self.label else None) or ()
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
                    mine = np.isin(_hash_of(ids.combine_chunks()), list(wanted))
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
            held = np.sort(np.fromfile(file, _HELD), order="hash")
            hashes, starts, counts = np.unique(held["hash"], return_index=True, return_counts=True)
            low, high = (reduce.reduceat(held["split"], starts) for reduce in (np.minimum, np.maximum))
            yield hashes, counts, low, high


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


def _content(piece: pa.RecordBatch, columns: Sequence[Column]) -> Hashes:
    """A hash of the values of these columns for each row."""
    found = np.zeros(len(piece), np.uint64)
    for column in columns:
        found = _mixed(found * np.uint64(31) + _hash_of(_column(piece, column.name)))
    return found


def _hash_of(values: pa.Array) -> Hashes:
    """A 64-bit hash of each value: equal for equal values, 0 and -0 among them, and one for all that are missing."""
    kind = values.type
    if pa.types.is_list(kind):
        dtype = kind.value_type.to_pandas_dtype()
        found = hash_array(
            _objects(b"" if one is None else np.asarray(one, dtype).tobytes() for one in values.to_pylist())
        )
    elif pa.types.is_string(kind) or pa.types.is_binary(kind):
        found = hash_array(_objects("" if one is None else one for one in values.to_pylist()), categorize=False)
    elif pa.types.is_floating(kind):
        numbers = values.cast(pa.float64()).fill_null(0.0).to_numpy(zero_copy_only=False) + 0.0
        found = _mixed(np.where(np.isnan(numbers), np.nan, numbers).view(np.uint64))
    else:
        whole = values.cast(pa.timestamp("us", kind.tz)) if pa.types.is_timestamp(kind) else values
        found = _mixed(whole.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False).view(np.uint64))
    return np.where(values.is_valid().to_numpy(zero_copy_only=False), found, _NULL)


def _objects(values: Iterator[Any]) -> NDArray[Any]:
    listed = list(values)
    found = np.empty(len(listed), object)
    found[:] = listed
    return found


def _mixed(numbers: Hashes) -> Hashes:
    """splitmix64's finaliser: near numbers become far ones."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * _MIX[0]
    numbers = (numbers ^ (numbers >> np.uint64(27))) * _MIX[1]
    mixed: Hashes = numbers ^ (numbers >> np.uint64(31))
    return mixed
