"""Publishing and verifying a dataset version against the disk's own sequential write and read of the same bytes.

    python -m benchmarks.preparation.publish [--mib 512] [--runs 3] [--folder FOLDER] [--out FILE]

Rows are in Spark's memory before the clock starts. `publish` is Parquet, hashes, digest, sync and rename of rows in
their order; `with the shuffle` is the putting in order, too. `by Spark` is the latter through Spark's own Parquet
writer, whose files are read once more to be hashed, as on Hadoop file systems. `write`: the shards' bytes, one file
after the other, each synced. `read` and `verify`: after the files were dropped from the page cache. The last column is
what one core does in a second of its time: what other programs on the machine cannot change. `row hashes` are what
the digest adds up, one core: publish and verify cannot be faster than all cores together do that.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
from pyspark.sql import DataFrame, SparkSession
from rich.console import Console
from rich.table import Table as Shown

from millstream.pipelines.publish import hadoop_fs, publish
from millstream.pipelines.publish.local_store import LocalStore
from millstream.pipelines.spark.session import session
from millstream.pipelines.table import Table
from millstream.tracking.dataset.manifest import Split
from millstream.tracking.dataset.records import Column
from millstream.tracking.dataset.version import Dataset
from millstream.tracking.settings import Settings
from millstream.tracking.verification.content_digest import hexadecimal, rows_digest
from millstream.tracking.verification.verify import verify
from tests.pipelines.published import manifest_of

NUMBERS = 20
PIXELS = 3 * 32 * 32
WAYS = {
    "write": "write",
    "publish": "write",
    "with the shuffle": "write",
    "by Spark": "write",
    "read": "read",
    "verify": "read",
    "row hashes": "read",
}
"""And what each is measured against."""
COLUMNS = {
    "images": (
        Column(name="image", dtype="uint8", layout="tensor", shape=(3, 32, 32), role="input", meaning="image"),
        Column(name="label", dtype="int64", role="target", meaning="category", classes=tuple("0123456789")),
    ),
    "numbers": tuple(
        Column(name=f"n{at:02d}", dtype="float64", role="input", meaning="number") for at in range(NUMBERS)
    ),
}


def made(spark: SparkSession, kind: str, mib: int) -> tuple[Table, int]:
    """Random rows, which no compression makes smaller, and their number."""
    count = (mib << 20) // (PIXELS if kind == "images" else 8 * NUMBERS)
    columns = COLUMNS[kind]
    types = {"images": "image binary, label long", "numbers": ", ".join(f"{one.name} double" for one in columns)}

    def filled(pieces: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for piece in pieces:
            generator = np.random.default_rng(int(piece["id"].iloc[0]))
            rows = pd.DataFrame({"sample_id": "r" + piece["id"].astype(str), "parent_id": None, "op": None})
            rows["split"] = "train"
            if kind == "images":
                rows["image"] = [generator.bytes(PIXELS) for _ in range(len(piece))]
                rows["label"] = generator.integers(0, 10, len(piece))
            else:
                rows[[one.name for one in columns]] = generator.normal(size=(len(piece), NUMBERS))
            yield rows

    schema = f"sample_id string, parent_id string, op string, split string, {types[kind]}"
    frame = spark.range(count).mapInPandas(filled, schema).persist()
    return Table(frame, columns), frame.count()


def published(
    frame: DataFrame, columns: tuple[Column, ...], files: Sequence[str], folder: Path, *, by_spark: bool = False
) -> None:
    """A new version of a placed frame."""
    with LocalStore(folder).staging("made", "v1") as staged:
        written = (_BySpark(staged.folder) if by_spark else staged).write(frame, files)
        shards = tuple(one.shard for one in written)
        digest = hexadecimal(sum(one.digest for one in written))
        split = Split(rows=sum(one.rows for one in shards), class_counts={}, digest=digest, shards=shards)
        staged.commit(manifest_of({"train": split}, columns=columns))


class _BySpark:
    """Writes as it is done where Python does not reach."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, frame: DataFrame, files: Sequence[str]) -> list[hadoop_fs.Written]:
        found = hadoop_fs.write(frame, f"file://{self.folder}/scratch", f"file://{self.folder}", files, "0" * 8)
        shutil.rmtree(self.folder / "scratch")
        for path in self.folder.glob("split=*/part-*"):
            _synced(path, None)
        return found


def _synced(path: Path, content: bytes | None) -> None:
    with path.open("r+b" if content is None else "wb") as file:
        file.write(content or b"")
        file.flush()
        os.fsync(file.fileno())


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """How long it took, and how long all cores together worked for it."""
    started, busy = time.perf_counter(), _busy()
    work()
    return time.perf_counter() - started, _busy() - busy


def _busy() -> float:
    """Seconds of processor time of this process and those below it, with those that have ended."""
    total = 0.0
    me = psutil.Process()
    for process in (me, *me.children(recursive=True)):
        with suppress(psutil.Error):  # it ended meanwhile
            spent = process.cpu_times()
            total += spent.user + spent.system + spent.children_user + spent.children_system
    return total


def written(files: list[Path], folder: Path) -> tuple[float, float]:
    """Seconds to write the same bytes, file after file."""
    contents = [file.read_bytes() for file in files]
    folder.mkdir()
    took = seconds(lambda: [_synced(folder / str(at), one) for at, one in enumerate(contents)])
    shutil.rmtree(folder)
    return took


def forgotten(files: list[Path]) -> None:
    """Out of the page cache."""
    for file in files:
        with file.open("rb") as opened:
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measured(spark: SparkSession, kind: str, mib: int, folder: Path) -> dict[str, tuple[float, float]]:
    """MB/s of each way and of a core, in one round, so that all meet the same machine."""
    table, rows = made(spark, kind, mib)
    parts = {"train": publish.parts_of(table.columns, rows)}
    kept, names = publish.in_parts(table, parts, 0), publish.files_of(parts)
    in_order = kept.persist()
    in_order.count()
    took = {"publish": seconds(lambda: published(in_order, table.columns, names, folder / "ours"))}
    in_order.unpersist()
    took["with the shuffle"] = seconds(lambda: published(kept, table.columns, names, folder / "shuffled"))
    took["by Spark"] = seconds(lambda: published(kept, table.columns, names, folder / "spark", by_spark=True))
    version = folder / "ours" / "made" / "v1"
    files = sorted(version.glob("split=*/*.parquet"))
    took["write"] = written(files, folder / "plain")
    forgotten(files)
    took["read"] = seconds(lambda: [file.read_bytes() for file in files])
    forgotten(files)
    dataset = Dataset.open(version, folder)
    took["verify"] = seconds(lambda: verify(dataset))
    took["row hashes"] = seconds(lambda: [rows_digest(file) for file in files])
    size = sum(file.stat().st_size for file in files) / 1e6
    table.frame.unpersist()
    for one in ("ours", "shuffled", "spark"):
        shutil.rmtree(folder / one)
    return {name: (size / wall, size / max(busy, 1e-3)) for name, (wall, busy) in took.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=512)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path(".millstream/benchmark"))
    parser.add_argument("--out", type=Path, default=Path("publish.json"))
    given = parser.parse_args()
    folder = given.folder.absolute()
    shutil.rmtree(folder, ignore_errors=True)
    spark = session(None, Settings.read({"MILLSTREAM_HOME": str(folder / "home")}))
    measured(spark, "images", 16, folder)  # the first round starts Java's and Python's workers
    found = {kind: [measured(spark, kind, given.mib, folder) for _ in range(given.runs)] for kind in COLUMNS}
    spark.stop()
    shutil.rmtree(folder)
    shown = Shown("rows", "way", "MB/s (median)", "of the disk's", "MB/s of a core")
    for kind, rounds in found.items():
        for name, disk in WAYS.items():
            speed, core = (statistics.median(one[name][at] for one in rounds) for at in (0, 1))
            ratio = statistics.median(one[name][0] / one[disk][0] for one in rounds)
            shown.add_row(kind, name, f"{speed:.0f}", f"{ratio:.2f}", f"{core:.0f}")
    Console().print(shown)
    about = {"mib": given.mib, "runs": given.runs, "cores": os.cpu_count(), "machine": platform.machine()}
    given.out.write_text(json.dumps({"about": about, "mb_per_s": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
