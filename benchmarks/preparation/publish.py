"""Publishing and verifying a dataset version against the disk's own sequential write and read of the same bytes.

    python -m benchmarks.preparation.publish [--mib 512] [--runs 3] [--folder FOLDER] [--out FILE]

Rows are in Spark's memory before the clock starts. `publish` is all that follows: shuffle, Parquet, hashes, digest,
sync, rename. `spark's writer` is the same through Spark's own Parquet writer, whose files are read once more to be
hashed, as it is done on Hadoop file systems. Write: the shards' bytes, one file after the other, each synced. Read and
`verify`: after the page cache was told to forget the files.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame, SparkSession
from rich.console import Console
from rich.table import Table as Shown

from pipelines import hadoop, publish
from pipelines.local_store import LocalStore
from pipelines.session import session
from pipelines.table import Table
from tests.pipelines.published import manifest_of
from tracking.dataset import Dataset
from tracking.manifest import Column
from tracking.settings import Settings
from tracking.verify import verify

NUMBERS = 20
PIXELS = 3 * 32 * 32
COLUMNS = {
    "pictures": (
        Column(name="image", dtype="uint8", layout="tensor", shape=(3, 32, 32), role="input", meaning="image"),
        Column(name="label", dtype="int64", role="target", meaning="category", classes=tuple("0123456789")),
    ),
    "numbers": tuple(
        Column(name=f"n{at:02d}", dtype="float64", role="input", meaning="number") for at in range(NUMBERS)
    ),
}


def made(spark: SparkSession, kind: str, mib: int) -> tuple[Table, int]:
    """Random rows, which no compression makes smaller, and their number."""
    count = (mib << 20) // (PIXELS if kind == "pictures" else 8 * NUMBERS)
    columns = COLUMNS[kind]
    types = {"pictures": "image binary, label long", "numbers": ", ".join(f"{one.name} double" for one in columns)}

    def filled(pieces: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for piece in pieces:
            generator = np.random.default_rng(int(piece["id"].iloc[0]))
            rows = pd.DataFrame({"sample_id": "r" + piece["id"].astype(str), "parent_id": None, "op": None})
            rows["split"] = "train"
            if kind == "pictures":
                rows["image"] = [generator.bytes(PIXELS) for _ in range(len(piece))]
                rows["label"] = generator.integers(0, 10, len(piece))
            else:
                rows[[one.name for one in columns]] = generator.normal(size=(len(piece), NUMBERS))
            yield rows

    schema = f"sample_id string, parent_id string, op string, split string, {types[kind]}"
    frame = spark.range(count).mapInPandas(filled, schema).persist()
    return Table(frame, columns), frame.count()


def published(table: Table, rows: int, folder: Path, *, by_spark: bool) -> Path:
    """The folder of a new version."""
    store = LocalStore(folder)
    with store.staging("made", "v1") as staged:
        chosen = _BySpark(staged.folder) if by_spark else staged
        split = publish.write_split(table, chosen, "train", {None: rows}, 0)  # type: ignore[arg-type]
        return staged.commit(manifest_of({"train": split}, columns=table.columns))


class _BySpark:
    """Writes as it is done where Python does not reach."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, frame: DataFrame, below: str) -> list[hadoop.Written]:
        found = hadoop.write(frame, (self.folder / "scratch").as_uri(), (self.folder / below).as_uri(), "0" * 8)
        shutil.rmtree(self.folder / "scratch")
        for path in (self.folder / below).glob("part-*"):
            _synced(path, None)
        return found


def _synced(path: Path, content: bytes | None) -> None:
    with path.open("r+b" if content is None else "wb") as file:
        file.write(content or b"")
        file.flush()
        os.fsync(file.fileno())


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def written(files: list[Path], folder: Path) -> float:
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


def measured(spark: SparkSession, kind: str, mib: int, folder: Path) -> dict[str, float]:
    """MB/s of each way, in one round, so that all meet the same machine."""
    table, rows = made(spark, kind, mib)
    took: dict[str, float] = {}
    for name, by_spark in (("spark's writer", True), ("publish", False)):
        store = folder / name.replace("'", "").replace(" ", "-")
        took[name] = seconds(lambda store=store, by_spark=by_spark: published(table, rows, store, by_spark=by_spark))
    version = folder / "publish" / "made" / "v1"
    files = sorted(version.glob("split=*/*.parquet"))
    took["write"] = written(files, folder / "plain")
    forgotten(files)
    took["read"] = seconds(lambda: [file.read_bytes() for file in files])
    forgotten(files)
    dataset = Dataset.open(version, folder)
    took["verify"] = seconds(lambda: verify(dataset))
    size = sum(file.stat().st_size for file in files)
    table.frame.unpersist()
    for one in ("publish", "spark-s-writer", "sparks-writer"):
        shutil.rmtree(folder / one, ignore_errors=True)
    return {name: size / 1e6 / one for name, one in took.items()}


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
    measured(spark, "pictures", 16, folder)  # the first round starts Java's and Python's workers
    found = {kind: [measured(spark, kind, given.mib, folder) for _ in range(given.runs)] for kind in COLUMNS}
    spark.stop()
    shutil.rmtree(folder)
    shown = Shown("rows", "way", "MB/s (median)", "of the disk's")
    for kind, rounds in found.items():
        for name, against in (
            ("write", "write"),
            ("publish", "write"),
            ("spark's writer", "write"),
            ("read", "read"),
            ("verify", "read"),
        ):
            speed = statistics.median(one[name] for one in rounds)
            ratio = statistics.median(one[name] / one[against] for one in rounds)
            shown.add_row(kind, name, f"{speed:.0f}", f"{ratio:.2f}")
    Console().print(shown)
    about = {"mib": given.mib, "runs": given.runs, "cores": os.cpu_count(), "machine": platform.machine()}
    given.out.write_text(json.dumps({"about": about, "mb_per_s": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
