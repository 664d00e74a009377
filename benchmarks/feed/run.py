"""The feed against loops by hand and the loaders of others: rows a second over whole epochs, and their ratios.

    python -m benchmarks.feed.run [--peers PYTHON] [--rounds N] [--json FILE]

Readers take turns, round by round, each in a process of its own, so that a slow minute of the machine meets all of
them; figures are medians over all epochs. `--peers` is a Python with benchmarks/feed/peers.txt installed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.feed.readers import OWN, PEERS, SETS
from training.memory import LARGEST_KEPT, NEVER

EPOCHS = {**dict.fromkeys(OWN, 5), **dict.fromkeys(PEERS, 1)}
BASES = {
    "index_select": ("feed, cached", 0.9),
    "X[idx]": ("feed, streamed, arrow", 1.0),
    "petastorm, bare, unshuffled": ("feed, streamed, petastorm", 0.9),
    "LitData": ("feed, streamed, arrow", 20),
    "WebDataset": ("feed, streamed, arrow", 20),
    "MosaicML Streaming": ("feed, streamed, arrow", 20),
    "HF datasets": ("feed, streamed, arrow", 2),
    "Ray Data": ("feed, streamed, arrow", 2),
}
"""What is compared with each, and the ratio that is wanted."""

KEPT = {
    "MALLOC_MMAP_THRESHOLD_": str(LARGEST_KEPT),
    "MALLOC_TRIM_THRESHOLD_": str(NEVER),
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}
"""Freed memory stays with the process, as training has it, and for all alike."""


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as scratch:
        found = {chosen: measured(chosen, options, Path(scratch)) for chosen in SETS}
    for chosen, rates in found.items():
        show(chosen, rates)
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=1))


def measured(chosen: str, options: argparse.Namespace, scratch: Path) -> dict[str, list[float]]:
    """Rows a second of each epoch, by reader."""
    readers = [*OWN, *(PEERS if options.peers else ())]
    rates: dict[str, list[float]] = {name: [] for name in readers}
    for round_number in range(options.rounds):
        for name in readers:
            python = options.peers if name in PEERS else sys.executable
            folder = scratch / f"{list(SETS).index(chosen)}-{readers.index(name)}"
            told = _contest(python, name, chosen, folder)
            rates[name] += [told["rows"] / one for one in told["seconds"]]
            print(f"{chosen}, round {round_number + 1}, {name}: {max(rates[name]):,.0f} rows/s", file=sys.stderr)
    return rates


def show(chosen: str, rates: dict[str, list[float]]) -> None:
    print(f"\n{chosen}\n{'reader':30} {'rows/s: min':>14} {'median':>12} {'max':>12}")
    for name, found in rates.items():
        print(f"{name:30} {min(found):14,.0f} {statistics.median(found):12,.0f} {max(found):12,.0f}")
    for base, (own, wanted) in BASES.items():
        if base in rates:
            ratio = statistics.median(rates[own]) / statistics.median(rates[base])
            print(f"{own} / {base}: {ratio:.2f} (wanted {wanted})")


def _contest(python: str, name: str, chosen: str, folder: Path) -> dict[str, Any]:
    command = [python, "-m", "benchmarks.feed.contest", name, chosen, str(folder), str(EPOCHS[name])]
    environment = {**os.environ, **KEPT}
    told = subprocess.run(command, capture_output=True, text=True, env=environment)
    if told.returncode:
        sys.exit(f"{name}: {told.stderr}")
    answer: dict[str, Any] = json.loads(told.stdout.splitlines()[-1])
    return answer


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", help="a Python that has benchmarks/feed/peers.txt installed")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", help="write all figures there")
    return parser.parse_args()


if __name__ == "__main__":
    main()
