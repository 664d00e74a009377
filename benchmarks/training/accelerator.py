"""Runs one recipe of each family on the accelerator of this machine, and prints exit code, seconds and weights of each.

    python -m benchmarks.training.accelerator [--accelerator gpu|cpu|auto] [--budget smoke|full] [RECIPE ...]

Data come from MILLSTREAM_MIRROR, or are downloaded. The hash of the weights is equal for two runs on one machine; on a
GPU it is not that of the CPU. `auto` takes a GPU where torch finds one. Ends with 1 when a recipe failed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

import torch

from millstream.tracking.recipe.loader import catalogue

RECIPES = (
    "classical/kmeans-digits",
    "cnn/lenet-digits",
    "generative/vae-mnist",
    "mlp/digits",
    "rl/dqn-cartpole",
    "rnn/gru-names",
)
SHOWN = 16
"""Digits of the hash."""


class Ran(NamedTuple):
    recipe: str
    code: int
    seconds: float
    weights: str


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", default=RECIPES, metavar="RECIPE", help=f"default: {', '.join(RECIPES)}")
    parser.add_argument("--accelerator", choices=("auto", "gpu", "cpu"), default="auto")
    parser.add_argument("--budget", choices=("smoke", "full"), default="smoke")
    options = parser.parse_args()
    unknown = sorted(set(options.recipes) - set(catalogue()))
    if unknown:
        parser.error(f"no such recipe: {', '.join(unknown)}")
    print(f"accelerator {options.accelerator}: {device(options.accelerator)}; torch {torch.__version__}", flush=True)
    print(f"{'recipe':28} rc  seconds  weights", flush=True)
    found = []
    with tempfile.TemporaryDirectory() as home:
        for recipe in options.recipes:
            found.append(ran(home, recipe, options.accelerator, options.budget))
            print(f"{recipe:28} {found[-1].code:2} {found[-1].seconds:8.1f}  {found[-1].weights}", flush=True)
    return int(any(one.code for one in found))


def device(accelerator: str) -> str:
    return torch.cuda.get_device_name(0) if accelerator != "cpu" and torch.cuda.is_available() else "the processor"


def ran(home: str, recipe: str, accelerator: str, budget: str) -> Ran:
    """The recipe prepared and trained by the command; errors go to stderr."""
    words = [] if budget == "full" else ["--budget", budget]
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "millstream", "run", recipe, *words, "--json"],
        env={**os.environ, "MILLSTREAM_HOME": home, "PL_TRAINER_ACCELERATOR": accelerator},
        stdout=subprocess.PIPE,
        text=True,
    )
    answer = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {}
    return Ran(recipe, done.returncode, time.monotonic() - began, answer.get("weights", "")[:SHOWN])


if __name__ == "__main__":
    sys.exit(main())
