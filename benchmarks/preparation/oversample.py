"""Images made by augmentation until classes are as many, against the ops alone on one core.

    python -m benchmarks.preparation.oversample [--count N] [--rounds N] [--json FILE]

`balance/digits-augment` (MNIST in MILLSTREAM_MIRROR) with `count` images of every digit. The base is a plain loop
over the same images in memory on one core: draw the parameters, change the pixels, return the bytes. Ours is the step
`rebalance` of a `millstream prepare`, by the manifest's own seconds: it names every new row, and moves it from and to
Spark.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.preparation.process import cost, machine, step_of
from millstream.tracking.augmentations.image import CHANGES
from millstream.tracking.augmentations.op import drawn, through
from millstream.tracking.recipe.loader import load

RECIPE, WANTED = "balance/digits-augment", 0.5
LOOP, STEP = "the ops, one core", "millstream, the step"
LOOPED = 20_000


def main() -> None:
    options = _options()
    cores = len(os.sched_getaffinity(0))
    rates: dict[str, list[float]] = {LOOP: [], STEP: []}
    with tempfile.TemporaryDirectory() as scratch:
        for at in range(options.rounds):
            rates[LOOP].append(_loop())
            rates[STEP].append(_step(Path(scratch) / f"home{at}", options.count))
            found = ", ".join(f"{name} {rate[-1]:,.0f}" for name, rate in rates.items())
            print(f"round {at + 1}: {found} rows/s, {machine()}", file=sys.stderr)
    print(f"\n{'rows/s':24} {'min':>10} {'median':>10} {'max':>10}")
    for name, rate in rates.items():
        print(f"{name:24} {min(rate):10,.0f} {statistics.median(rate):10,.0f} {max(rate):10,.0f}")
    ratio = statistics.median(rates[STEP]) / (cores * statistics.median(rates[LOOP]))
    print(f"{STEP} / ({cores} cores x {LOOP}): {ratio:.2f} (wanted >= {WANTED})")
    if options.json:
        Path(options.json).write_text(json.dumps({"machine": machine(), "rates": rates, "ratio": ratio}, indent=1))


def _loop() -> float:
    """Rows a second of the ops on one core."""
    content = gzip.decompress(
        (Path(os.environ["MILLSTREAM_MIRROR"]) / "mnist" / "train-images-idx3-ubyte.gz").read_bytes()
    )
    pixels = np.frombuffer(content, np.uint8, offset=16).reshape(-1, 1, 28, 28)
    ops = [next(iter(op.items())) for op in _rebalance()["ops"]]
    started = time.perf_counter()
    for at in range(LOOPED):
        through(CHANGES, pixels[at], drawn(CHANGES, ops, 0, "loop", str(at), 1)).tobytes()
    return LOOPED / (time.perf_counter() - started)


def _step(home: Path, count: int) -> float:
    """Rows a second that the step makes."""
    to = f"data.steps.rebalance.to={{count: {count}}}"
    cost([sys.executable, "-m", "millstream", "prepare", RECIPE, "--set", to], {"MILLSTREAM_HOME": str(home)})
    step = step_of(home, "rebalance")
    made: float = (step["rows_out"] - step["rows_in"]) / step["seconds"]
    return made


def _rebalance() -> dict[str, Any]:
    steps = load(RECIPE).section("data")["steps"]
    found: dict[str, Any] = next(step["rebalance"] for step in steps if "rebalance" in step)
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000, help="images of each digit in the end")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", help="where to write what was measured")
    return parser.parse_args()


if __name__ == "__main__":
    main()
