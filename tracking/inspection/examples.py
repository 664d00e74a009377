"""Example rows for the report: some of each class, and augmented ones with their parents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from millstream.tracking.dataset.manifest import Manifest, Shard
from millstream.tracking.dataset.records import Column
from millstream.tracking.dataset.version import Dataset
from millstream.tracking.inspection.lineage import Row, find

CLASSES, OF_EACH, CHANGED = 12, 8, 6
LONGEST_TEXT = 1000
WIDEST = 128
"""Pixels per side that are kept for display."""
EVERY_ROW = ""
"""Name of the group when there are no classes."""


class Examples:
    """Random rows of train (lowest draws): `OF_EACH` original ones per large class, and `CHANGED` augmented ones."""

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self.columns = {column.name: column for column in manifest.columns}
        self.label = label(manifest)
        counts = manifest.splits["train"].class_counts
        names = self.label.classes or () if self.label else ()
        largest = sorted(names, key=lambda class_: -counts.get(class_, 0))[:CLASSES]
        self.groups: dict[str, _Lowest] = {
            name: _Lowest(OF_EACH) for name in ([class_ for class_ in names if class_ in largest] or [EVERY_ROW])
        }
        self.made = _Lowest(CHANGED)

    def add(self, piece: pa.RecordBatch, draws: NDArray[np.float64]) -> None:
        op = piece.column(piece.schema.get_field_index("op"))
        changed = op.is_valid().to_numpy(zero_copy_only=False)
        self._take(self.made, piece, draws, changed)
        if self.label is None:
            self._take(self.groups[EVERY_ROW], piece, draws, ~changed)
            return
        numbers = piece.column(piece.schema.get_field_index(self.label.name))
        for at, name in enumerate(self.label.classes or ()):
            if name in self.groups:
                mine = pc.fill_null(pc.equal(numbers, at), False).to_numpy(zero_copy_only=False)
                self._take(self.groups[name], piece, draws, mine & ~changed)

    def rows(self) -> dict[str, list[Row]]:
        """By class; a class without an original row has none."""
        return {name: lowest.rows for name, lowest in self.groups.items()}

    def families(self, dataset: Dataset, shards: Sequence[Shard]) -> list[tuple[Row | None, Row]]:
        """Augmented rows with their parents; None for a parent that is not in these shards of train."""
        children = self.made.rows
        parents = find(dataset, {child["parent_id"] for child in children if child["parent_id"]}, {"train": shards})
        small = {name: small_row(row, self.columns) for name, row in parents.items()}
        return [(small.get(child["parent_id"]), child) for child in children]

    def _take(
        self, lowest: _Lowest, piece: pa.RecordBatch, draws: NDArray[np.float64], mine: NDArray[np.bool_]
    ) -> None:
        for at in lowest.wanted(np.where(mine, draws, np.inf)):
            row = piece.slice(at, 1).to_pylist()[0]
            lowest.add(float(draws[at]), small_row(row, self.columns))


class _Lowest:
    """The rows with the lowest draws seen so far."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.found: list[tuple[float, Row]] = []

    def wanted(self, draws: NDArray[np.float64]) -> list[int]:
        bound = self.found[-1][0] if len(self.found) == self.most else np.inf
        lowest = np.argsort(draws, kind="stable")[: self.most]
        return [int(at) for at in lowest if draws[at] < bound]

    def add(self, draw: float, row: Row) -> None:
        self.found = sorted([*self.found, (draw, row)], key=lambda one: one[0])[: self.most]

    @property
    def rows(self) -> list[Row]:
        return [row for _, row in self.found]


def label(manifest: Manifest) -> Column | None:
    """The column that example rows are grouped by: the first scalar target with classes."""
    return next(
        (
            column
            for column in manifest.columns
            if column.role == "target" and column.classes and column.layout == "scalar"
        ),
        None,
    )


def small_row(row: Row, columns: Mapping[str, Column]) -> Row:
    """The row with tensors as arrays, large images subsampled, and long texts truncated."""
    return {name: _small(value, columns.get(name)) for name, value in row.items()}


def _small(value: Any, column: Column | None) -> Any:
    if isinstance(value, str):
        return value if len(value) <= LONGEST_TEXT else f"{value[:LONGEST_TEXT]}…"
    if not isinstance(value, bytes) or column is None:
        return value
    array = np.frombuffer(value, np.dtype(column.dtype).newbyteorder("<")).reshape(column.shape)
    if column.meaning in ("image", "mask", "video") and array.ndim >= 2:
        step = max(1, -(-max(array.shape[-2:]) // WIDEST))
        return array[..., ::step, ::step].copy()
    return array
