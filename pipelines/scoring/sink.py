"""The sink of scored rows: a Parquet folder on a disk, on S3 or on a Hadoop file system, all or nothing.

Rows are written to a staging folder next to the target, counted, and renamed to the target. They are counted when
read, when predicted, and in the files that the driver sees: a worker that writes to its own local disk raises no error.
On S3 there is no rename of folders: the files are moved one by one, and `_SUCCESS` is written last.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark import TaskContext
from pyspark.sql import DataFrame, Observation, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema

from millstream.pipelines.publish import stores
from millstream.pipelines.publish.shard_writer import Batches
from millstream.pipelines.publish.staging_name import Mark, left_in
from millstream.pipelines.spark import preflight
from millstream.pipelines.spark.frames import in_arrow
from millstream.tracking.dataset.filesystems import S3, Place, Remote, answering, place
from millstream.tracking.errors import BadData, BadEnvironment

ROWS = "rows"
ONLY_PART = "part-00000.snappy.parquet"
SUCCESS = "_SUCCESS"
"""Hadoop's marker file of a complete folder."""
SHARED = "give a folder that all hosts share under the same path, or a URL as s3://BUCKET/FOLDER"


@dataclass(frozen=True)
class Sink:
    target: Place

    @classmethod
    def of(cls, output: str, start: Callable[[], object]) -> Sink:
        """The sink at a path or URL; `start` starts Spark, which is needed to reach a Hadoop file system.

        Raises BadData when the target exists, and BadEnvironment when it cannot be reached.
        """
        where = place(output)
        stores.reach(where, start)
        target = where.absolute() if isinstance(where, Path) else where
        is_there = target.exists() if isinstance(target, Path) else target.is_file() or bool(target.files())
        if is_there:
            raise BadData.at(target, "is there already; give a path that is not, nothing is overwritten")
        return cls(target)

    @property
    def is_on_disk(self) -> bool:
        return isinstance(self.target, Path)

    def write_table(self, table: pa.Table) -> int:
        """Write a table to a disk of this machine; returns the number of its rows."""
        with self._staging() as staged:
            rows = Path(str(staged.folder)) / ROWS
            rows.mkdir()
            pq.write_table(table, rows / ONLY_PART)
            staged.commit()
        return int(table.num_rows)

    def write(self, frame: DataFrame, predict: Callable[[DataFrame], DataFrame]) -> int:
        """Write the predictions for the rows of `frame`, one per row; returns their number.

        Raises BadEnvironment when a worker cannot reach the sink, or rows are missing in it.
        """
        read, predicted = Observation("read"), Observation("predicted")
        with self._staging() as staged:
            preflight.check(frame.sparkSession, [staged.folder], SHARED)
            predictions = predict(frame.observe(read, F.count(F.lit(1)).alias(ROWS)))
            staged.write(predictions.observe(predicted, F.count(F.lit(1)).alias(ROWS)))
            counts = {"read": read.get[ROWS], "predicted": predicted.get[ROWS], "written": staged.count()}
            if len(set(counts.values())) > 1:
                rejected = ", ".join(f"{rows} rows were {name}" for name, rows in counts.items())
                own_disks = counts["written"] < counts["predicted"]
                would = (
                    f"workers write to a disk of their own; {SHARED}" if own_disks else "nothing was kept; try again"
                )
                raise BadEnvironment.at(self.target, f"{rejected}: {would}")
            staged.commit()
        return int(counts["written"])

    @contextmanager
    def _staging(self) -> Iterator[Staged]:
        target, mark = self.target, str(Mark.mine("scored"))
        if isinstance(target, Path):
            staged: Staged = OnDisk(target.with_name(mark), target)
        else:
            beside = Remote(target.url.rpartition("/")[0]) / mark
            staged = (OnS3 if target.scheme == S3 else OnHadoop)(beside, target)
        try:
            staged.begin()
            yield staged
        finally:
            staged.remove()


class Staged(Protocol):
    """Uncommitted rows in a staging folder."""

    @property
    def folder(self) -> Place: ...

    def begin(self) -> None: ...

    def write(self, frame: DataFrame) -> None: ...

    def count(self) -> int:
        """Number of rows that the driver sees."""
        ...

    def commit(self) -> None: ...

    def remove(self) -> None:
        """Remove what was not committed."""
        ...


@dataclass(frozen=True)
class OnDisk:
    folder: Path
    target: Path

    def begin(self) -> None:
        """Raises BadEnvironment when the folder cannot be written."""
        for left in left_in(self.target.parent):
            shutil.rmtree(left, ignore_errors=True)
        try:
            self.folder.mkdir(parents=True)
        except OSError as error:
            raise BadEnvironment.at(
                self.target, f"cannot be written ({error.strerror}); give a folder of yours"
            ) from error

    def write(self, frame: DataFrame) -> None:
        frame.write.parquet(f"file:{self.folder / ROWS}")

    def count(self) -> int:
        return sum(int(pq.read_metadata(file).num_rows) for file in (self.folder / ROWS).glob("*.parquet"))

    def commit(self) -> None:
        (self.folder / ROWS).rename(self.target)

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass(frozen=True)
class OnHadoop:
    """Hadoop file systems: shared by all workers, with an atomic rename of folders."""

    folder: Remote
    target: Remote

    def begin(self) -> None:
        with answering(self.target.url):
            self.folder.system.makedirs(self.folder.url)

    def write(self, frame: DataFrame) -> None:
        frame.write.parquet(f"{self.folder}/{ROWS}")

    def count(self) -> int:
        return int(SparkSession.active().read.parquet(f"{self.folder}/{ROWS}").count())

    def commit(self) -> None:
        with answering(self.target.url):
            self.folder.system.mv(f"{self.folder}/{ROWS}", self.target.url)

    def remove(self) -> None:
        with answering(self.folder.url):
            self.folder.system.rm(self.folder.url, recursive=True)


@dataclass
class OnS3:
    """Workers write by fsspec, as Spark needs further jars for S3."""

    folder: Remote
    target: Remote
    files: list[str] = field(default_factory=list)
    """Files of successful tasks: a retried task writes a file of its own."""

    def begin(self) -> None:
        """Raises BadEnvironment when this machine cannot write there."""
        self._put(self.folder / "owner")

    def write(self, frame: DataFrame) -> None:
        folder, schema = self.folder, to_arrow_schema(frame.schema)

        def written(batches: Batches) -> Iterator[pa.RecordBatch]:
            context = TaskContext.get()
            number = context.partitionId() if context else 0
            file = f"part-{number:05d}-{uuid.uuid4().hex[:8]}.parquet"
            with answering(folder.url), folder.system.open(f"{folder}/{file}", "wb") as out:
                writer = pq.ParquetWriter(out, schema)
                for batch in batches:
                    writer.write_table(pa.Table.from_batches([batch]).cast(schema))
                writer.close()
            yield pa.RecordBatch.from_pydict({"file": [file]})

        self.files = [row["file"] for row in in_arrow(frame, written, "file string").collect()]

    def count(self) -> int:
        rows = 0
        with answering(self.folder.url):
            for file in self.files:
                with self.folder.system.open(f"{self.folder}/{file}", "rb") as content:
                    rows += pq.read_metadata(content).num_rows
        return rows

    def commit(self) -> None:
        with answering(self.target.url):
            for file in self.files:
                self.folder.system.mv(f"{self.folder}/{file}", f"{self.target}/{file}")
        self._put(self.target / SUCCESS)

    def remove(self) -> None:
        with answering(self.folder.url), suppress(FileNotFoundError):  # nothing was written
            self.folder.system.rm(self.folder.url, recursive=True)

    def _put(self, target: Remote) -> None:
        with answering(target.url):
            try:
                target.system.pipe_file(target.url, b"")
            except FileNotFoundError as error:
                raise BadEnvironment.at(target, f"cannot be written ({error}); make the bucket first") from None
