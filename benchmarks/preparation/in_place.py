"""Gigabytes of Parquet, partitioned by day, prepared where they lie: on a real S3 server on loopback, and in a folder.

    python -m benchmarks.preparation.in_place --scratch FOLDER [--gib 4] [--memory 1g] [--json FILE]

Spark has `--memory`; MILLSTREAM_HOME is on a file system of `--memory` bytes (tmpfs, so root is needed), and Spark's
scratch, the store, the raw files and the server's in FOLDER. Prints seconds, the largest memory by kind of process, the
most bytes in home and in scratch, and whether versions and digests are equal.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.preparation.process import Cost, cost, machine, plain, report
from tests.s3 import BUCKET, S3

DAYS, COLUMNS, GROUP_ROWS = 31, 60, 65_536
ROW_BYTES = 8 * COLUMNS + 8
EVERY_S = 2.0
RECIPE: dict[str, Any] = {
    "about": "a table of days",
    "data": {
        "name": "days",
        "source": {
            "name": "table",
            "format": "parquet",
            "columns": {
                **{f"x{at}": {"type": "double"} for at in range(COLUMNS)},
                "day": {"type": "timestamp"},
                "y": {"type": "long", "role": "target"},
            },
        },
        "steps": [{"split": {"by": "hash", "valid": 0.1, "test": 0.1}}],
    },
    "fit": {"seed": 1},
}


def main() -> None:
    options = _options()
    print(machine(), file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=options.scratch) as made:
        scratch = Path(made)
        rows = _generate(scratch / "raw", int(options.gib * (1 << 30)))
        with _server(scratch) as server:
            _upload(server, scratch / "raw")
            found = {
                where: _prepared(where, path, scratch, options.memory, environment)
                for where, path, environment in (
                    ("s3", f"s3://{BUCKET}/raw", server.environment),
                    ("folder", str(scratch / "raw"), {}),
                )
            }
    report({where: [one["cost"]] for where, one in found.items()})
    for where, one in found.items():
        print(f"{where}: home {one['home_mib']} MiB, scratch {one['scratch_mib']} MiB, version {one['version']}")
    is_equal = len({json.dumps([one["version"], one["digests"]]) for one in found.values()}) == 1
    print(f"{rows:,} rows; versions and digests are {'equal' if is_equal else 'DIFFERENT'}")
    if options.json:
        answer = {where: {**one, "cost": plain({where: [one["cost"]]})[where]} for where, one in found.items()}
        Path(options.json).write_text(json.dumps({"machine": machine(), "rows": rows, **answer}, indent=1))
    if not is_equal:
        sys.exit(1)


def _generate(folder: Path, size: int) -> int:
    """Write a folder for each day; random numbers, which no compression makes smaller. Returns the rows."""
    rows = size // ROW_BYTES // DAYS
    schema = pa.schema([*((f"x{at}", pa.float64()) for at in range(COLUMNS)), ("y", pa.int64())])
    for day in range(DAYS):
        path = folder / f"day=2024-01-{day + 1:02d}" / "part-00000.parquet"
        path.parent.mkdir(parents=True)
        draws = np.random.default_rng([1, day])
        with pq.ParquetWriter(path, schema, use_dictionary=False) as writer:
            for start in range(0, rows, GROUP_ROWS):
                count = min(GROUP_ROWS, rows - start)
                columns = [draws.normal(size=count) for _ in range(COLUMNS)]
                writer.write_table(pa.table([*columns, draws.integers(0, 2, count)], schema=schema))
    return rows * DAYS


@contextmanager
def _server(scratch: Path) -> Iterator[S3]:
    """The server keeps large objects in temporary files."""
    (scratch / "server").mkdir()
    before = tempfile.tempdir
    with _variable("TMPDIR", str(scratch / "server")):
        server = S3(scratch)
    tempfile.tempdir = before
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    import os

    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _upload(server: S3, folder: Path) -> None:
    client = server.client()
    for path in sorted(folder.rglob("*.parquet")):
        client.upload_file(str(path), BUCKET, f"raw/{path.relative_to(folder)}")


def _prepared(where: str, path: str, scratch: Path, memory: str, environment: dict[str, str]) -> dict[str, Any]:
    recipe = scratch / f"{where}.yaml"
    source = {**RECIPE["data"]["source"], "path": path}
    recipe.write_text(json.dumps({**RECIPE, "data": {**RECIPE["data"], "source": source}}))
    home, spill, store = scratch / f"home-{where}", scratch / f"spill-{where}", scratch / f"store-{where}"
    spill.mkdir()
    home.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={memory}", "tmpfs", home], check=True)
    variables = {
        "MILLSTREAM_HOME": str(home),
        "MILLSTREAM_STORE": str(store),
        "SPARK_LOCAL_DIRS": str(spill),
        "PYSPARK_SUBMIT_ARGS": f"--driver-memory {memory} pyspark-shell",
        **environment,
    }
    try:
        with _watched(home, spill) as most:
            command = [sys.executable, "-m", "millstream", "prepare", str(recipe), "--master", "local[2]"]
            spent: Cost = cost(command, variables)
        manifest = json.loads(next(store.glob("days/*/manifest.json")).read_text())
    finally:
        subprocess.run(["umount", "--lazy", home], check=True)
    digests = {name: split["digest"] for name, split in manifest["splits"].items()}
    return {"cost": spent, "version": manifest["version"], "digests": digests, **most}


@contextmanager
def _watched(home: Path, spill: Path) -> Iterator[dict[str, int]]:
    """The most MiB of the files in both folders, looked at every two seconds."""
    most = {"home_mib": 0, "scratch_mib": 0}
    is_over = threading.Event()

    def look() -> None:
        while not is_over.wait(EVERY_S):
            for name, folder in (("home_mib", home), ("scratch_mib", spill)):
                done = subprocess.run(["du", "-sm", folder], capture_output=True, text=True, check=False)
                most[name] = max(most[name], int(done.stdout.split()[0]) if done.stdout else 0)

    watch = threading.Thread(target=look)
    watch.start()
    try:
        yield most
    finally:
        is_over.set()
        watch.join()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scratch", type=Path, required=True, help="a folder with room for seven times the table")
    parser.add_argument("--gib", type=float, default=4.0, help="size of the table")
    parser.add_argument("--memory", default="1g", help="Java's memory, and the size of MILLSTREAM_HOME")
    parser.add_argument("--json", help="where to write what was measured")
    return parser.parse_args()


if __name__ == "__main__":
    main()
