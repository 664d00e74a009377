"""What a command costs: seconds on the clock, seconds of all its processes on the cores, and its largest memory."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

EVERY_S = 0.2


@dataclass
class Cost:
    seconds: float = 0.0
    cpu_s: float = 0.0
    peak_mib: dict[str, int] = field(default_factory=dict)
    """Largest resident memory at one time, by the kind of process: all of python, java and so on."""


def step_of(home: Path, name: str) -> dict[str, Any]:
    """A step in the manifest of the only data set in `home`."""
    (manifest,) = home.glob("datasets/*/latest/manifest.json")
    found: dict[str, Any] = next(one for one in json.loads(manifest.read_text())["steps"] if one["name"] == name)
    return found


def cost(command: Sequence[str], environment: Mapping[str, str]) -> Cost:
    """Run a command to its end, and return what it cost. Raises CalledProcessError when it fails."""
    found, cpu_s = Cost(), dict[int, float]()
    started = time.monotonic()
    with subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL) as process:
        root = psutil.Process(process.pid)
        while process.poll() is None:
            _look(root, found, cpu_s)
            time.sleep(EVERY_S)
    found.seconds, found.cpu_s = time.monotonic() - started, sum(cpu_s.values())
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return found


def report(costs: Mapping[str, Sequence[Cost]]) -> None:
    """A table: smallest, middle and largest seconds, seconds on the cores, memory."""
    print(f"\n{'':34} {'seconds: min':>13} {'median':>8} {'max':>8} {'on cores':>9}  largest MiB")
    for name, each in costs.items():
        seconds, cpu_s = [one.seconds for one in each], statistics.median(one.cpu_s for one in each)
        memory = ", ".join(f"{kind} {max(one.peak_mib.get(kind, 0) for one in each):,}" for kind in each[0].peak_mib)
        figures = f"{min(seconds):13.1f} {statistics.median(seconds):8.1f} {max(seconds):8.1f} {cpu_s:9.1f}"
        print(f"{name:34} {figures}  {memory}")


def plain(costs: Mapping[str, Sequence[Cost]]) -> dict[str, list[dict[str, object]]]:
    """For JSON."""
    return {name: [asdict(one) for one in each] for name, each in costs.items()}


def machine() -> str:
    """Cores and how busy they are: a figure without it means little."""
    return f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}"


def _look(root: psutil.Process, found: Cost, cpu_s: dict[int, float]) -> None:
    held: dict[str, int] = {}
    for process in [root, *_children(root)]:
        try:
            times, kind = process.cpu_times(), Path(process.name()).stem.rstrip("0123456789.")
            cpu_s[process.pid] = times.user + times.system
            if process.pid == root.pid:
                kind = "driver"
            held[kind] = held.get(kind, 0) + (process.memory_info().rss >> 20)
        except psutil.Error:
            continue
    for kind, mib in held.items():
        found.peak_mib[kind] = max(mib, found.peak_mib.get(kind, 0))


def _children(root: psutil.Process) -> list[psutil.Process]:
    try:
        return root.children(recursive=True)
    except psutil.Error:
        return []
