"""What the feed costs besides time: the plan of very many rows, bytes read again, and memory while it streams.

    python -m benchmarks.feed.limits [--rows N] [--json FILE]

The plan is that of an epoch over `rows` rows in shards of 24,414, as one rank makes it before its first batch. Then a
version five times as large as `cache_mib`, in shards of 8 MiB, is streamed through windows of a quarter of that: bytes
read by all of 8 ranks to those on disk, and how much more memory a process of one rank has at its largest than before
its first batch.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks.feed.readers import write_version
from millstream.tracking.dataset.version import Dataset
from millstream.training.feed.feed import Feed
from millstream.training.feed.plan.batch_order import Plan
from millstream.training.feed.plan.config import Reading
from millstream.training.memory import keep_freed_memory

SHARD_ROWS, RANKS, SHAPE, BUDGET_MIB, SHARD_MIB = 24_414, 8, (3, 64, 64), 512, 8
READING = Reading(seed=7, batch_size=256, cache_mib=BUDGET_MIB, window_mib=BUDGET_MIB / 4, engine="arrow")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000_000)
    parser.add_argument("--json", help="write all figures there")
    options = parser.parse_args()
    found = plan(options.rows)
    with tempfile.TemporaryDirectory() as folder:
        found |= streaming(Path(folder))
    for name, value in found.items():
        print(f"{name}: {value:,.2f}")
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=1))


def plan(rows: int) -> dict[str, float]:
    """Seconds and MiB until a rank knows the rows of its first window."""
    before, began = _peak_mib(), time.perf_counter()
    shards = (SHARD_ROWS,) * (rows // SHARD_ROWS)
    whole = Plan("0" * 32, seed=7, epoch=0, shard_rows=shards, batch_size=1024, lanes=8, window_rows=65_536)
    whole.slots(0, range(1))
    return {"plan, seconds": time.perf_counter() - began, "plan, MiB more": _peak_mib() - before}


def streaming(folder: Path) -> dict[str, float]:
    """Bytes read by all ranks to bytes on disk, and MiB more than before."""
    count = 5 * (BUDGET_MIB << 20) // int(np.prod(SHAPE))
    write_version(
        folder, np.random.default_rng(7).integers(0, 256, (count, *SHAPE), np.uint8), 5 * BUDGET_MIB // SHARD_MIB
    )
    dataset = Dataset.open(folder / "made" / "v1", folder)
    read = 0
    for rank in range(RANKS):
        one = Feed(dataset, "train", dataset.manifest.signature(), READING, rank=rank, ranks=RANKS)
        for _ in one:
            pass
        read += one.statistics.bytes_read
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        more = pool.submit(streamed, folder).result()
    on_disk = sum(shard.bytes for shard in dataset.shards("train"))
    return {
        "bytes read by 8 ranks / on disk": read / on_disk,
        "split, MiB": on_disk / (1 << 20),
        "budget, MiB": BUDGET_MIB,
        "streaming, MiB more at its largest": more,
    }


def streamed(folder: Path) -> float:
    """MiB more than before, in a process of its own."""
    keep_freed_memory()
    dataset = Dataset.open(folder / "made" / "v1", folder)
    feed = Feed(dataset, "train", dataset.manifest.signature(), READING)
    before = _peak_mib()
    for _ in feed:
        pass
    return _peak_mib() - before


def _peak_mib() -> float:
    """The largest resident memory so far; not getrusage's, which a process has from the one that started it."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024


if __name__ == "__main__":
    main()
