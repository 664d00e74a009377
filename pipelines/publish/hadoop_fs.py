"""Hadoop file systems through Spark: an fsspec adapter for listings and small files, and a writer of shards."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem
from py4j.protocol import Py4JJavaError
from pyspark.sql import DataFrame, SparkSession

from millstream.pipelines.publish.shard_writer import PART, RECORD_SCHEMA, Batches, Written, collected, record_batch
from millstream.pipelines.publish.staging_name import Mark
from millstream.tracking.dataset.manifest import Shard
from millstream.tracking.verification.content_digest import batches_digest

_OPTIONS = {"compression": "zstd", "parquet.enable.dictionary": "false", "parquet.block.size": str(1 << 30)}
_MISSING = "java.io.FileNotFoundException"
_THERE = "FileAlreadyExistsException"


def use_for(scheme: str) -> None:
    """Register the running Spark session for URLs of the scheme, in this process."""
    fsspec.register_implementation(scheme, HadoopFileSystem, clobber=True)


class HadoopFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """fsspec adapter of a Hadoop file system, through the driver's JVM; names are full URLs."""

    cachable: ClassVar[bool] = False
    root_marker = ""

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return path.rstrip("/")

    def ls(self, path: str, detail: bool = True, **options: Any) -> list[Any]:
        with _as_python(path):
            statuses = list(self._system(path).listStatus(_path(path)))
        facts = [self._facts(f"{path.rstrip('/')}/{one.getPath().getName()}", one) for one in statuses]
        return facts if detail else [one["name"] for one in facts]

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        with _as_python(path):
            return self._facts(path.rstrip("/"), self._system(path).getFileStatus(_path(path)))

    def modified(self, path: str) -> datetime:
        return datetime.fromtimestamp(self.info(path)["mtime"], UTC)

    def exists(self, path: str, **options: Any) -> bool:
        with _as_python(path):
            return bool(self._system(path).exists(_path(path)))

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **options: Any) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            self.get_file(path, f"{folder}/file")
            return (Path(folder) / "file").read_bytes()[start:end]

    def get_file(self, rpath: str, lpath: str, **options: Any) -> None:
        """A folder is created without its content, as in fsspec's other file systems."""
        if self.isdir(rpath):
            Path(lpath).mkdir(exist_ok=True)
            return
        with _as_python(rpath):
            # without a checksum file
            self._system(rpath).copyToLocalFile(False, _path(rpath), _path(f"file://{lpath}"), True)

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **options: Any) -> None:
        """Write a file atomically; with mode `create` it must not exist. Raises FileExistsError."""
        beside = f"{path.rpartition('/')[0]}/{Mark.mine('put')}"  # named so that `sweep` recognizes its owner
        with _as_python(path):
            stream = self._system(path).create(_path(beside), True)
            stream.write(value)
            if hasattr(stream, "hsync"):
                stream.hsync()
            stream.close()
            try:
                self._rename(beside, path, overwrite=mode != "create")
            except Py4JJavaError:
                self._system(path).delete(_path(beside), False)
                raise

    def mv(self, path1: str, path2: str, **options: Any) -> None:
        """Raises FileExistsError when `path2` exists."""
        with _as_python(path1):
            self._system(path2).mkdirs(_path(path2.rpartition("/")[0]))
            self._rename(path1, path2, overwrite=False)

    def rm(self, path: str | list[str], recursive: bool = False, **options: Any) -> None:
        for one in [path] if isinstance(path, str) else path:
            with _as_python(one):
                self._system(one).delete(_path(one), recursive)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        with _as_python(path):
            self._system(path).mkdirs(_path(path))

    def _rename(self, source: str, target: str, *, overwrite: bool) -> None:
        # FileSystem.rename moves into an existing folder, and returns false instead of an error
        options = _jvm().org.apache.hadoop.fs.Options.Rename
        chosen = _spark().sparkContext._gateway.new_array(options, 1)
        chosen[0] = options.OVERWRITE if overwrite else options.NONE
        context = _jvm().org.apache.hadoop.fs.FileContext.getFileContext(_path(target).toUri(), _configuration())
        context.rename(_path(source), _path(target), chosen)

    def _system(self, path: str) -> Any:
        return _path(path).getFileSystem(_configuration())

    def _facts(self, name: str, status: Any) -> dict[str, Any]:
        kind = "directory" if status.isDirectory() else "file"
        return {"name": name, "type": kind, "size": status.getLen(), "mtime": status.getModificationTime() / 1000}


def write(frame: DataFrame, scratch: str, where: str, files: Sequence[str], token: str) -> list[Written]:
    """Write each part of a placed frame as `<where>/<files[part]>-<token>.parquet`; returns the files, in order.

    Spark writes to `scratch`, and its workers read the files again to hash them: Python workers reach a Hadoop file
    system only through Spark's own writers and readers.
    """
    frame.write.options(**_OPTIONS).partitionBy(PART).parquet(scratch)
    system = HadoopFileSystem()
    parts = {path: _number(path) for path in system.find(scratch) if path.endswith(".parquet")}
    contents = frame.sparkSession.read.format("binaryFile").load(list(parts)).select("path", "content")
    by_file = {one.shard.file: one for one in collected(contents.mapInArrow(_described, RECORD_SCHEMA))}
    kept: list[Written] = []
    for path, number in sorted(parts.items(), key=lambda one: one[1]):
        target = f"{where}/{files[number]}-{token}.parquet"
        written = by_file[_below(path)]
        system.mv(path, target)
        shard = written.shard.model_copy(update={"file": "/".join(target.rsplit("/", 2)[1:])})
        kept.append(Written(shard, written.digest))
    return kept


def _number(path: str) -> int:
    """Part number of a file, from its folder; a part is in one partition, and so in one file."""
    return int(_below(path).partition("/")[0].removeprefix(f"{PART}="))


def _below(path: str) -> str:
    """Folder of the part and file name: names alone are not unique across folders."""
    return "/".join(path.rsplit("/", 2)[1:])


def _described(batches: Batches) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for path, content in zip(batch.column(0).to_pylist(), batch.column(1), strict=True):
            held = content.as_buffer()
            file = pq.ParquetFile(pa.BufferReader(held))
            shard = Shard(
                file=_below(path),
                rows=file.metadata.num_rows,
                bytes=held.size,
                sha256=hashlib.sha256(held).hexdigest(),
                row_groups=file.metadata.num_row_groups,
            )
            yield record_batch(Written(shard, batches_digest(file.iter_batches(batch_size=8192))))


def _spark() -> SparkSession:
    return SparkSession.active()


def _jvm() -> Any:
    return _spark().sparkContext._jvm


def _path(url: str) -> Any:
    return _jvm().org.apache.hadoop.fs.Path(url)


def _configuration() -> Any:
    return _spark().sparkContext._jsc.hadoopConfiguration()


@contextmanager
def _as_python(path: str) -> Iterator[None]:
    """Translates Java errors to OSError and its subclasses."""
    try:
        yield
    except Py4JJavaError as error:
        kind, message = error.java_exception.getClass().getName(), error.java_exception.getMessage()
        if kind == _MISSING:
            raise FileNotFoundError(path) from None
        if kind.endswith(_THERE):
            raise FileExistsError(path) from None
        if "not a directory" in str(message).lower():
            raise NotADirectoryError(path) from None
        raise OSError(f"{kind.rpartition('.')[2]}: {message}") from error
