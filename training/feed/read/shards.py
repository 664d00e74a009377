"""The shards of a split, each verified before its first read."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from millstream.tracking.dataset.filesystems import Place
from millstream.tracking.dataset.manifest import Shard
from millstream.tracking.dataset.records import Column
from millstream.tracking.dataset.version import Dataset
from millstream.tracking.errors import BadData
from millstream.training.feed.plan.batch_order import Rows
from millstream.training.feed.plan.samples import Samples
from millstream.training.feed.read.columns import Arrays, Block, Dense, columns_of

SAMPLE_ID = "sample_id"
_PICKLED = b"dataset-toolkit."


class Piece(NamedTuple):
    """A shard read by an engine: its number, and its blocks with rows as first axis."""

    shard: int
    arrays: Arrays


@dataclass(frozen=True)
class Shards:
    """The shards of one split, and the blocks read from each."""

    dataset: Dataset
    split: str
    blocks: tuple[Block, ...]
    are_read_beside: bool = False
    """Whether threads read them in the background while batches are used."""
    _checked: set[int] = field(default_factory=set, compare=False, repr=False)
    _first_ids: dict[int, str] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def all(self) -> tuple[Shard, ...]:
        return self.dataset.shards(self.split)

    @cached_property
    def _places(self) -> tuple[Place, ...]:
        return tuple(self.dataset.folder / shard.file for shard in self.all)

    @cached_property
    def rows(self) -> tuple[int, ...]:
        return tuple(shard.rows for shard in self.all)

    @cached_property
    def first_rows(self) -> NDArray[np.int64]:
        """Index of each shard's first row, followed by the total number of rows."""
        return np.concatenate([[0], np.cumsum(np.asarray(self.rows, np.int64))])

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        return columns_of(self.blocks)

    @property
    def sample_bytes(self) -> int:
        """Bytes of a sample in memory, at least 1."""
        return max(1, sum(block.sample_bytes for block in self.blocks))

    @property
    def held_bytes(self) -> int:
        """Bytes of the whole split in memory."""
        return sum(self.rows) * sum(
            block.stored.itemsize * math.prod(block.held) for at, block in enumerate(self.blocks) if self.same(at) == at
        )

    def content(self) -> str:
        """Hash of the cached split, equal for the same rows and blocks."""
        digest = self.dataset.manifest.splits[self.split].digest
        kept = [(block.field.name, block.is_lengths, block.held, str(block.stored)) for block in self.blocks]
        shards = [shard.sha256 for shard in self.all]
        return hashlib.sha256(repr((digest, kept, shards)).encode()).hexdigest()[:32]

    def same(self, at: int) -> int:
        """The first block cut from the same column as the block `at`: both share one array."""
        block = self.blocks[at]
        names = [one.first.name if one.start is not None else None for one in self.blocks]
        return at if block.start is None else names.index(block.first.name)

    def are_known(self, wanted: Iterable[int]) -> bool:
        """Whether all these shards have been verified."""
        return self._checked.issuperset(wanted)

    @contextmanager
    def lent(self, number: int) -> Iterator[Path]:
        """The file of a shard, after verifying its hash and footer (once per process); it may be evicted afterwards.

        Raises BadData.
        """
        with self._held(number) as path:
            if number not in self._checked:
                with pq.ParquetFile(path) as file:
                    self._check_footer(file.metadata, number)
            yield path

    @contextmanager
    def opened(self, number: int) -> Iterator[pq.ParquetFile]:
        """The same file, open. Raises BadData."""
        with self._held(number) as path, pq.ParquetFile(path) as file:
            if number not in self._checked:
                self._check_footer(file.metadata, number)
            yield file

    @contextmanager
    def _held(self, number: int) -> Iterator[Path]:
        shard = self.all[number]
        path = self.dataset.verified(shard)
        try:
            yield path
        finally:
            self.dataset.release(shard)

    def where(self, number: int) -> Place:
        """The published path of a shard, for messages."""
        return self._places[number]

    def arrays(self, dense: dict[str, Dense], where: object) -> Arrays:
        return tuple(block.array(dense, where) for block in self.blocks)

    def sample_ids(self, samples: Samples, wanted: Rows) -> list[str]:
        """Sample ids, in the order of `wanted`."""
        rows, which = samples.places(wanted)
        ids = self.row_ids(rows.tolist())
        return [samples.name(one, at) for one, at in zip(ids, which.tolist(), strict=True)]

    def row_ids(self, rows: Sequence[int]) -> list[str]:
        """Row ids, read from the shards, in the order of `rows`."""
        return self.texts(SAMPLE_ID, rows)

    def texts(self, name: str, rows: Sequence[int]) -> list[str]:
        """Texts of a column, read from the shards, in the order of `rows`."""
        wanted = np.asarray(rows, np.int64)
        shard_of = np.searchsorted(self.first_rows, wanted, side="right") - 1
        found = np.empty(len(wanted), object)
        for number in np.unique(shard_of).tolist():
            here = np.flatnonzero(shard_of == number)
            held = list(map(str, self._column(number, name).to_pylist()))
            found[here] = [held[row] for row in (wanted[here] - self.first_rows[number]).tolist()]
        return list(found)

    def first_id(self, number: int) -> str:
        """The sample id of a shard's first row, memoized."""
        if number not in self._first_ids:
            self._first_ids[number] = str(self._column(number, SAMPLE_ID)[0].as_py())
        return self._first_ids[number]

    def ids(self, number: int) -> list[str]:
        """All sample ids of a shard in stored order."""
        return list(map(str, self._column(number, SAMPLE_ID).to_pylist()))

    def numbers(self, name: str) -> NDArray[Any]:
        """A numeric column over all shards, in stored order."""
        pieces = [self._column(number, name).to_numpy() for number in range(len(self.all))]
        return np.concatenate(pieces)

    def list_lengths(self, number: int, name: str) -> NDArray[np.int64]:
        """Length of each list in a shard's column."""
        return np.asarray(pc.list_value_length(self._column(number, name)), np.int64)

    def _column(self, number: int, name: str) -> pa.ChunkedArray:
        with self.opened(number) as file:
            return file.read(columns=[name]).column(0)

    def _check_footer(self, facts: Any, number: int) -> None:
        shard, path = self.all[number], self.where(number)
        pickled = [name.decode() for name in facts.metadata or {} if name.startswith(_PICKLED)]
        if pickled:
            message = f"has the metadata {pickled}, which readers would unpickle"
            raise BadData.at(path, f"{message}; it was not written by `millstream prepare`, delete the version")
        if (facts.num_rows, facts.num_row_groups) != (shard.rows, shard.row_groups):
            message = f"{facts.num_rows} rows in {facts.num_row_groups} row groups"
            raise BadData.at(path, f"{message}; the manifest has {shard.rows} in {shard.row_groups}, prepare it again")
        held = facts.schema.to_arrow_schema().names
        missing = [name for name in (SAMPLE_ID, *(column.name for column in self.columns)) if name not in held]
        if missing:
            raise BadData.at(path, f"no columns {missing}; it has {held}, delete the version and prepare it again")
        # petastorm reads a null as NaN: only the footer distinguishes them
        nulls = _nulls(facts, {column.name for column in self.columns})
        if nulls:
            raise BadData.at(path, f"nulls in columns {nulls}; validate or fill them in the preparation")
        self._checked.add(number)


def _nulls(facts: Any, names: set[str]) -> dict[str, int]:
    """Number of nulls by column, from the footer; lists are checked when decoded."""
    found: dict[str, int] = {}
    for group in range(facts.num_row_groups):
        for at in range(facts.num_columns):
            chunk = facts.row_group(group).column(at)
            if chunk.path_in_schema in names and chunk.statistics is not None and chunk.statistics.null_count:
                found[chunk.path_in_schema] = found.get(chunk.path_in_schema, 0) + chunk.statistics.null_count
    return found
