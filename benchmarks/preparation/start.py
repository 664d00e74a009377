"""What a small preparation costs on the cores, against another checkout: its start is most of it.

    python -m benchmarks.preparation.start BEFORE [--recipe RECIPE] [--rounds N]

BEFORE is a folder with a checkout of the version to compare with; both run in this Python. In turns, each time in a
fresh home: that version, this one without an archive of Java's classes, and with one that was made before. CPU seconds
are of the command and of all processes that it started, including those that it did not wait for. Ends with an error
when digests differ.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from benchmarks.preparation.process import machine
from millstream.tracking.dataset.version import Dataset

PR_SET_CHILD_SUBREAPER = 36
WANTED = 0.45
HERE = Path(__file__).parents[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("--recipe", default="cnn/lenet-digits")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with tempfile.TemporaryDirectory() as scratch:
        cache = Path(scratch)
        making, _ = prepared(options.recipe, HERE, cache, "now")
        (archive,) = cache.glob("millstream/java/*.jsa")
        print(f"making the archive ({archive.stat().st_size >> 20} MiB): {making:.1f} s with its job", file=sys.stderr)
        contestants = {
            "before": (options.before.absolute(), "off"),
            "without archive": (HERE, "off"),
            "with archive": (HERE, "auto"),
        }
        seconds: dict[str, list[float]] = {name: [] for name in contestants}
        digests = set()
        for at in range(options.rounds):
            for name, (checkout, archiving) in contestants.items():
                cpu_s, found = prepared(options.recipe, checkout, cache, archiving)
                seconds[name].append(cpu_s)
                digests.add(found)
                print(f"round {at + 1}, {name}: {cpu_s:.1f} s; {machine()}", file=sys.stderr)
    if len(digests) > 1:
        raise SystemExit(f"the digests differ: {digests}")
    for name, each in seconds.items():
        # round by round, since the machine is faster at one time than at another
        ratio = statistics.median(one / before for one, before in zip(each, seconds["before"], strict=True))
        wanted = "" if name == "before" else f", {ratio:.2f} of before (wanted <= {WANTED})"
        print(f"{name}: {statistics.median(each):.1f} CPU s ({min(each):.1f} to {max(each):.1f}){wanted}")


def prepared(recipe: str, checkout: Path, cache: Path, archiving: str) -> tuple[float, tuple[str, ...]]:
    """CPU seconds of a preparation, and the digests of its splits."""
    with tempfile.TemporaryDirectory() as home:
        named = {"MILLSTREAM_HOME": home, "XDG_CACHE_HOME": str(cache), "MILLSTREAM_CLASS_ARCHIVE": archiving}
        before = _used()
        command = [sys.executable, "-m", "millstream", "prepare", recipe]
        subprocess.run(command, cwd=checkout, env=os.environ | named, check=True, capture_output=True)
        with suppress(ChildProcessError):  # no process is left
            while True:
                os.wait()  # Java outlives the command, and its Python workers may outlive Java
        (manifest,) = Path(home).glob("datasets/*/latest/manifest.json")
        splits = Dataset.open(str(manifest.parent.resolve()), str(Path(home) / "datasets")).manifest.splits
        return _used() - before, tuple(split.digest for split in splits.values())


def _used() -> float:
    of_children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return of_children.ru_utime + of_children.ru_stime


if __name__ == "__main__":
    main()
