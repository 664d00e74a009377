"""XGBoost from pages on disk against the same trees from memory: the memory of each, its time, and its error.

    python -m benchmarks.training.pages [--rows 2000000] [--folder FOLDER]

Both read one dataset version, 40 columns of float32, through the feed, which may hold `--cache-mib` of it. Each takes a
process of its own. `own` is the memory that only the process can give back (RssAnon) at its largest, less what it was
before the first batch; `with the pages` has the pages of files in it that the kernel may drop, too.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from millstream.tracking.dataset.records import Column
from millstream.tracking.dataset.version import Dataset
from millstream.training.distributed.ranks import Ranks
from millstream.training.feed.feed import Feed
from millstream.training.feed.plan.config import Reading
from millstream.training.networks.classical.xgboost import Config, XGBoost, build
from tests.datasets import make_dataset

COLUMNS = 40
TEST_ROWS = 100_000
WAYS = ("memory", "pages")
ROUNDS = 50


def write(folder: Path, rows: int) -> None:
    """A number that hangs on four of the columns, one by one, and noise of deviation 1 in it."""
    columns = [Column(name=f"n{at:02d}", dtype="float32", role="input", meaning="number") for at in range(COLUMNS)]
    columns.append(Column(name="y", dtype="float32", role="target", meaning="number"))
    splits = {}
    for at, (split, count) in enumerate({"train": rows, "test": TEST_ROWS}.items()):
        draw = np.random.default_rng(at)
        x = draw.normal(size=(count, COLUMNS)).astype(np.float32)
        y = 3 * np.sin(x[:, 0]) + x[:, 1] ** 2 + np.abs(x[:, 2]) + x[:, 3] + draw.normal(size=count)
        splits[split] = {f"n{at:02d}": x[:, at] for at in range(COLUMNS)} | {"y": y.astype(np.float32)}
    make_dataset(folder, splits, columns, shard_rows=50_000)


class Memory(threading.Thread):
    """Looks at the memory of this process every 20 ms."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.largest: dict[str, int] = {}
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.02):
            for name, now in memory().items():
                self.largest[name] = max(self.largest.get(name, 0), now)


def memory() -> dict[str, int]:
    """MiB of this process: its own, and with the pages of files that it has in sight."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {name: int(lines[name].split()[0]) // 1024 for name in ("RssAnon", "VmRSS")}


def contend(way: str, folder: Path, cache_mib: float) -> None:
    dataset = Dataset.open(folder / "made" / "v1", folder)
    signature = dataset.manifest.signature("y")
    network = build(Config(rounds=ROUNDS, external=way == "pages"), signature)
    assert isinstance(network, XGBoost)
    reading = Reading(batch_size=4096, engine="arrow", cache_mib=cache_mib, window_mib=64)
    train, test = (Feed(dataset, split, signature, reading, shuffle=False) for split in ("train", "test"))
    before, seen = memory(), Memory()
    seen.start()
    began = time.perf_counter()
    if way == "pages":
        network.learn_by_pages(train, folder / "pages", Ranks())
    else:
        whole = train.whole()
        network.fit(whole.arguments, whole.truth, whole.weight_B)
        del whole
    took = time.perf_counter() - began
    seen.over.set()
    seen.join()
    errors = [(network(*one.arguments)[:, 0] - np.asarray(one.truth))[np.asarray(one.mask_B)] for one in test]
    squares = np.square(np.concatenate(errors))
    used = {name: seen.largest[name] - before[name] for name in before}
    print(json.dumps({"seconds": took, "rmse": float(np.sqrt(squares.mean())), **used}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--cache-mib", type=float, default=64)
    parser.add_argument("--folder", type=Path, default=Path(".millstream/benchmark"))
    parser.add_argument("--contend", choices=WAYS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.contend:
        contend(given.contend, given.folder, given.cache_mib)
        return
    folder = given.folder.absolute()
    shutil.rmtree(folder, ignore_errors=True)
    write(folder, given.rows)
    shown = Table("XGBoost from", "own MiB", "with the pages", "seconds", "RMSE on test")
    for way in WAYS:
        command = [sys.executable, "-m", "benchmarks.training.pages", "--contend", way, "--folder", str(folder)]
        ran = subprocess.run(
            [*command, "--cache-mib", str(given.cache_mib)], stdout=subprocess.PIPE, text=True, check=True
        )
        found = json.loads(ran.stdout.splitlines()[-1])
        shown.add_row(way, *(f"{found[name]:.0f}" for name in ("RssAnon", "VmRSS", "seconds")), f"{found['rmse']:.4f}")
    shutil.rmtree(folder)
    Console().print(f"{given.rows:,} rows of {COLUMNS} numbers: {given.rows * COLUMNS * 4 >> 20} MiB", shown)


if __name__ == "__main__":
    main()
