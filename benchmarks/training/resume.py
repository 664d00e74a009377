"""What it costs to resume a run that was killed: the whole command against the steps that it still had to do.

    MILLSTREAM_MIRROR=... python -m benchmarks.training.resume [--rounds N] [RECIPE]

Unbroken runs of one and of two epochs give the seconds of an epoch, and of all else: start, validation, test,
registration. A run of two epochs is killed in the middle of the second and resumed. What it takes more than all else
and its remaining steps is the overhead: finding the run, reading the checkpoint, finding the place in the stream.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from millstream.pipelines.prepare import prepare
from millstream.tracking.dataset.version import Dataset
from millstream.tracking.recipe.loader import load
from millstream.tracking.settings import Settings

WANTED_S = 2.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", nargs="?", default="cnn/lenet-mnist")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        found = [measured(options.recipe, Path(home)) for _ in range(options.rounds)]
    each = ", ".join(f"{one:.2f}" for one in found)
    print(f"{options.recipe}: {statistics.median(found):.2f} s to resume (of {each}; wanted <= {WANTED_S:g})")


def measured(recipe: str, home: Path) -> float:
    """Seconds that resuming costs beside the steps that were left."""
    located = load(recipe)
    settings = Settings.read({**os.environ, "MILLSTREAM_HOME": str(home)})
    dataset = Dataset.open(prepare(located, settings, say=lambda message: None).path, settings.store)
    steps = -(-dataset.manifest.splits["train"].rows // int(located.section("fit")["batch_size"]))
    one, two = (ended(recipe, home, epochs, "--fresh")[0] for epochs in (1, 2))
    kill_beyond(1.5 * steps, recipe, home)
    seconds, log = ended(recipe, home, 2)
    resumed = re.search(r"resumes from step (\d+)", log)
    if resumed is None:
        sys.exit(f"not resumed: {log}")
    epoch, left = two - one, 2 - int(resumed[1]) / steps
    return seconds - (one - epoch) - left * epoch


def ended(recipe: str, home: Path, epochs: int, *more: str) -> tuple[float, str]:
    """Seconds of a whole command, and its log."""
    started = time.perf_counter()
    process = _started(recipe, home, epochs, *more)
    log = process.communicate()[1]
    if process.returncode:
        sys.exit(log)
    return time.perf_counter() - started, log


def kill_beyond(step: float, recipe: str, home: Path) -> None:
    """A run of two epochs that is killed when it has left a checkpoint beyond `step`."""
    before = set(home.glob("checkpoints/*"))
    process = _started(recipe, home, 2, "--fresh")
    while not any(_step(file) > step for file in home.glob("checkpoints/*/step-*") if file.parent not in before):
        time.sleep(0.01)
        if process.poll() is not None:
            sys.exit(f"ended before it was killed: {process.communicate()[1]}")
    process.kill()
    process.communicate()


def _started(recipe: str, home: Path, epochs: int, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "millstream", "train", recipe, *more]
    command += ["--set", f"fit.epochs={epochs}", "--set", "fit.checkpoint_every=50"]
    environment = {**os.environ, "MILLSTREAM_HOME": str(home)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _step(file: Path) -> int:
    return int(file.name.removeprefix("step-").partition(".")[0])


if __name__ == "__main__":
    main()
