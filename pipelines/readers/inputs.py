"""What a source reads: origin files, located and verified, and files that the workers read where they lie."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pyspark.sql import SparkSession

from millstream.pipelines.readers import origin_files
from millstream.pipelines.readers.stored import hashes
from millstream.pipelines.readers.stored.hashes import Start
from millstream.pipelines.table import Identity, InPlace, OriginFile, Source, StoredFile, Table
from millstream.tracking.dataset.filesystems import Place, place
from millstream.tracking.dataset.manifest import File
from millstream.tracking.settings import Settings


@dataclass(frozen=True)
class Inputs:
    source: Source
    origin: Mapping[OriginFile, Path]
    stored: tuple[StoredFile, ...]
    hashes: Path
    """The remembered hashes of the stored files."""

    @classmethod
    def of(cls, source: Source, settings: Settings) -> Self:
        """Raises BadData as `origin_files.locate_all`, and when a source has no stored files."""
        origin = origin_files.locate_all(source, settings)
        stored: tuple[StoredFile, ...] = ()
        if isinstance(source, InPlace) and source.place is not None:
            paths = {file.name: path for file, path in origin.items()}
            stored = source.stored_files(paths, origin_files.folders_of(settings))
        name = hashlib.sha256(stored[0].where.encode() if stored else b"").hexdigest()[:16]
        return cls(source, origin, stored, settings.home / "hashes" / f"{name}.json")

    @property
    def identity(self) -> Identity | None:
        """What identifies the stored files; None if there are none."""
        return self.source.identified_by if isinstance(self.source, InPlace) and self.stored else None

    @property
    def places(self) -> list[Place]:
        """What a worker has to reach."""
        return [*self.origin.values(), *(place(file.where) for file in self.stored[:1])]

    @property
    def bytes(self) -> int | None:
        """What is read or made; None where neither the files nor the source itself know: a table of a database."""
        declared: int | None = getattr(self.source, "raw_bytes", None)
        if declared is not None:
            return declared
        sizes: list[int] = [path.stat().st_size for path in self.origin.values()]
        return sum(sizes) + sum(file.bytes for file in self.stored) or None

    def records(self, start: Start | None = None) -> tuple[File, ...]:
        """The records of the manifest; `start` starts Spark if files are to be hashed.

        Raises `hashes.Unhashed` where that is needed, and `start` is not given.
        """
        origin = tuple(origin_files.record(file, path) for file, path in self.origin.items())
        if self.identity is None:
            return origin
        return (*origin, *hashes.records(self.stored, self.identity, self.hashes, start))

    def read(self, spark: SparkSession, seed: int) -> Table:
        files = {file.name: path for file, path in self.origin.items()}
        if isinstance(self.source, InPlace) and self.stored:
            return self.source.read_stored(spark, self.stored, files, seed)
        return self.source.read(spark, files, seed)
