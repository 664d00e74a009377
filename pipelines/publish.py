"""Puts a prepared table on disk as a dataset version: there whole, or not there.

Everything is written into a staging folder beside the versions, hashed, synced, and renamed into place with its
manifest; then `latest` is swapped. A reader who looks at any moment sees the versions before, or one more.
"""

from __future__ import annotations

import errno
import os
import shutil
import socket
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pyarrow.parquet as pq
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipelines.rows import draw, named
from pipelines.table import Table
from tracking import manifest as contract
from tracking.dataset import LATEST, sha256_of
from tracking.digest import MODULUS, hexadecimal, rows_digest
from tracking.faults import BadEnvironment
from tracking.manifest import LINEAGE, Column, Manifest, Shard, Split

SHARD_BYTES = 8 << 20
_STAGING = ".staging-"
_NO_ROOM = ("No space left on device", "Disk quota exceeded")


@contextmanager
def staging(store: Path, name: str, version: str) -> Iterator[Path]:
    """A folder that only this process writes into; it is gone afterwards, unless it was renamed into a version.

    Raises BadEnvironment when the store cannot be written or is full.
    """
    host, pid = socket.gethostname(), os.getpid()
    started = int(psutil.Process(pid).create_time())
    folder = store / name / f"{_STAGING}{version}-{host}-{pid}-{started}-{uuid.uuid4().hex[:8]}"
    try:
        folder.mkdir(parents=True)
        yield folder
    except OSError as error:
        raise _store_fault(store, error) from error
    except (Py4JJavaError, PySparkException) as error:
        if any(told in str(error) for told in _NO_ROOM):
            raise BadEnvironment.at(store, _full(store)) from error
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep(store: Path, name: str) -> list[str]:
    """Remove what dead processes of this host left of their stagings; the names removed."""
    removed = []
    for folder in (store / name).glob(f"{_STAGING}*"):
        if _is_dead(folder.name):
            shutil.rmtree(folder, ignore_errors=True)
            removed.append(folder.name)
    return removed


def write_split(
    spark: SparkSession, table: Table, folder: Path, split: str, counts: dict[int | None, int], seed: int
) -> Split:
    """Write one split, whose classes have `counts` rows, shuffled once by hash, a row group a shard.

    Which row stands where follows from the seed and the rows' sample_ids alone, never from Spark's partitions.
    """
    rows = sum(counts.values())
    shards = max(1, -(-rows * _row_bytes(table.columns) // SHARD_BYTES))
    mine = table.frame.where(F.col("split") == split)
    kept = mine.select(*LINEAGE, *(named(column.name) for column in table.columns))
    placed = (
        kept.withColumn("_hash", F.expr(draw(seed, "order", "sample_id")))
        .withColumn("_bucket", F.expr(f"CAST(pmod(_hash, {shards}) AS INT)"))
        .withColumn("_salt", _salt(shards))
        .repartition(shards, "_salt")
        .sortWithinPartitions("_hash", "sample_id")
        .drop("_hash", "_bucket", "_salt")
    )
    target = folder / f"split={split}"
    options = {"compression": "zstd", "parquet.enable.dictionary": "false", "parquet.block.size": str(1 << 30)}
    placed.write.options(**options).parquet(f"file:{target}")
    files = _named(target)
    described = spark.sparkContext.parallelize(files, max(1, len(files))).map(_describe(str(folder))).collect()
    classes = (table.classes[0].classes if len(table.classes) == 1 else None) or ()
    return Split(
        rows=rows,
        class_counts={name: counts.get(at, 0) for at, name in enumerate(classes)},
        digest=hexadecimal(sum(one[1] for one in described) % MODULUS),
        shards=tuple(one[0] for one in described),
    )


def write_refused(refused: DataFrame | None, folder: Path) -> dict[str, int]:
    """Write the rows that were refused, with their reasons; the count of each reason."""
    target = folder / "quarantine"
    target.mkdir()
    if refused is None:
        return {}
    counts = {row[0]: row[1] for row in refused.groupBy("reason").count().collect()}
    if counts:
        target.rmdir()
        refused.orderBy("sample_id").coalesce(1).write.parquet(f"file:{target}")
        _named(target)
    return dict(sorted(counts.items()))


def commit(staged: Path, store: Path, manifest: Manifest) -> Path:
    """Make the staged folder the version that its manifest names; if another process was first, its version stays."""
    (staged / contract.FILE).write_text(manifest.text(), encoding="utf-8")
    _sync(staged)
    version = store / manifest.name / manifest.version
    if version.is_dir() and not (version / contract.FILE).is_file():
        shutil.rmtree(version)  # no manifest, so no version: somebody removed half of it
    try:
        staged.rename(version)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
    _sync_folder(version.parent)
    point_latest(version)
    return version


def point_latest(version: Path) -> None:
    """Swap the link `latest` to this version in one step."""
    beside = version.parent / f".{LATEST}-{uuid.uuid4().hex[:8]}"
    beside.symlink_to(version.name)
    beside.replace(version.parent / LATEST)


def _row_bytes(columns: tuple[Column, ...]) -> int:
    """Bytes of a row by its columns' types alone, so that the number of shards never depends on a sample of rows."""
    widths = {"uint8": 1, "int16": 2, "int32": 4, "float32": 4}
    total = 32
    for column in columns:
        count = 1
        for side in column.shape:
            count *= side
        total += 32 if column.dtype == "string" else widths.get(column.dtype, 8) * count
    return total


def _salt(shards: int) -> F.Column:
    """For each bucket a number that Spark's own partitioner sends to the partition of that number."""
    wanted = dict.fromkeys(range(shards))
    salts: dict[int, int] = {}
    spark = SparkSession.active()
    block, start = max(64, 16 * shards), 0
    while len(salts) < len(wanted):
        found = spark.range(start, start + block).selectExpr(
            "CAST(id AS INT) k", f"pmod(hash(CAST(id AS INT)), {shards}) b"
        )
        for row in found.collect():
            salts.setdefault(row.b, row.k)
        start += block
    table = F.array(*(F.lit(salts[bucket]) for bucket in range(shards)))
    return F.element_at(table, F.col("_bucket") + 1)


def _named(folder: Path) -> list[str]:
    """Give Spark's files lasting names in the order of their partitions; the names, without empty files."""
    names: list[str] = []
    for path in sorted(folder.iterdir()):
        if path.suffix == ".parquet" and not path.name.startswith("."):
            if pq.read_metadata(path).num_rows == 0:
                path.unlink()
                continue
            target = path.with_name(f"part-{len(names):05d}.parquet")
            path.rename(target)
            names.append(f"{folder.name}/{target.name}")
        else:
            path.unlink()
    return names


def _describe(folder: str) -> Callable[[str], tuple[Shard, int]]:
    def describe(file: str) -> tuple[Shard, int]:
        path = Path(folder) / file
        facts = pq.read_metadata(path)
        shard = Shard(
            file=file,
            rows=facts.num_rows,
            bytes=path.stat().st_size,
            sha256=sha256_of(path),
            row_groups=facts.num_row_groups,
        )
        return shard, rows_digest(path)

    return describe


def _is_dead(name: str) -> bool:
    *_, _host, pid, started, _unique = name.rsplit("-", 4)
    if not name.removeprefix(_STAGING).partition("-")[2].startswith(socket.gethostname()):
        return False  # another host's: only it can tell
    try:
        return int(psutil.Process(int(pid)).create_time()) != int(started)
    except (psutil.NoSuchProcess, ValueError):
        return True


def _sync(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            handle = os.open(path, os.O_RDONLY)
            os.fsync(handle)
            os.close(handle)
        else:
            _sync_folder(path)
    _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)


def _store_fault(store: Path, error: OSError) -> BadEnvironment | OSError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return BadEnvironment(*BadEnvironment.at(store, _full(store)).faults)
    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR):
        told = f"cannot be written ({error.strerror}); set MILLSTREAM_STORE to a folder of yours"
        return BadEnvironment(*BadEnvironment.at(store, told).faults)
    return error


def _full(store: Path) -> str:
    free = shutil.disk_usage(store).free
    return f"the disk is full ({free} bytes are free); make room, or set MILLSTREAM_STORE to another disk"
