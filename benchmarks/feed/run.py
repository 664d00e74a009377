"""The feed against loops by hand and the loaders of others: rows a second over whole epochs, and their ratios.

    python -m benchmarks.feed.run [--peers PYTHON] [--rounds N] [--ranks N] [--json FILE]

Readers take turns, round by round, each in a process of its own, so that a slow minute of the machine meets all of
them; figures are medians over all epochs. `--peers` is a Python with benchmarks/feed/peers.txt installed. With
`--ranks` so many processes share each epoch, those by hand and the feed alone; a figure is the sum over them.
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

from benchmarks.feed.readers import OWN, PEERS, READY, SETS, SHARED
from millstream.training.memory import LARGEST_KEPT, NEVER

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
    readers = [*OWN, *(PEERS if options.peers else ())] if options.ranks == 1 else list(SHARED)
    rates: dict[str, list[float]] = {name: [] for name in readers}
    for round_number in range(options.rounds):
        for name in readers:
            python = options.peers if name in PEERS else sys.executable
            folder = scratch / f"{list(SETS).index(chosen)}-{readers.index(name)}"
            rates[name] += _contest(python, name, chosen, folder, options.ranks)
            print(f"{chosen}, round {round_number + 1}, {name}: {max(rates[name]):,.0f} rows/s", file=sys.stderr)
    return rates


def show(chosen: str, rates: dict[str, list[float]]) -> None:
    print(f"\n{chosen}\n{'reader':30} {'rows/s: min':>14} {'median':>12} {'max':>12}")
    for name, found in rates.items():
        print(f"{name:30} {min(found):14,.0f} {statistics.median(found):12,.0f} {max(found):12,.0f}")
    for base, (own, wanted) in BASES.items():
        if base in rates and own in rates:
            ratio = statistics.median(rates[own]) / statistics.median(rates[base])
            print(f"{own} / {base}: {ratio:.2f} (wanted {wanted})")


def _contest(python: str, name: str, chosen: str, folder: Path, ranks: int) -> list[float]:
    """Rows a second of each epoch, of all ranks together."""
    command = [python, "-m", "benchmarks.feed.contest", name, chosen, str(folder), str(EPOCHS[name])]
    if ranks > 1 and not folder.exists():
        _ended([_started([*command[:-1], "0"], folder, ranks)], folder)  # one of them writes the files
    shares = [[str(rank), str(ranks)] for rank in range(ranks)] if ranks > 1 else [[]]
    answers = _ended([_started([*command, *share], folder, ranks) for share in shares], folder)
    each = [[one["rows"] / seconds for seconds in one["seconds"]] for one in answers]
    return [sum(rates) for rates in zip(*each, strict=True)]


def _started(command: list[str], folder: Path, ranks: int) -> subprocess.Popen[str]:
    """A contestant, with its part of the cores; its stderr goes to a file beside its folder."""
    threads = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // ranks))}
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with _stderr(folder).open("w") as stderr:
        return subprocess.Popen(command, env={**os.environ, **KEPT, **threads}, stderr=stderr, **pipes)


def _ended(processes: list[subprocess.Popen[str]], folder: Path) -> list[dict[str, Any]]:
    """The report of each at its end; none begins before all are ready."""
    for process in processes:
        while (line := process.stdout.readline() if process.stdout else "") and line != READY:
            pass
    found = []
    for process in processes:
        if process.stdin:
            process.stdin.write("begin\n")
            process.stdin.flush()
    for process in processes:
        out, _ = process.communicate()
        if process.returncode:
            sys.exit(_stderr(folder).read_text())
        found.append(json.loads(out.splitlines()[-1]))
    return found


def _stderr(folder: Path) -> Path:
    return folder.with_suffix(".stderr")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", help="a Python that has benchmarks/feed/peers.txt installed")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ranks", type=int, default=1, help="processes that share an epoch")
    parser.add_argument("--json", help="write all figures there")
    return parser.parse_args()


if __name__ == "__main__":
    main()
