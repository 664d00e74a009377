"""Draws the loss of one recipe trained by one process and by two, step by step: `docs/records/images/ranks.png`.

    python -m benchmarks.training.ranks [RECIPE] [--figure FILE]

Dropout is left out, since its draws are a rank's own. Below the curves stands how far they are apart.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from mlflow import MlflowClient

Curve = dict[int, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", nargs="?", default="cnn/lenet-digits")
    parser.add_argument("--figure", default="docs/records/images/ranks.png", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        millstream(home, "prepare", options.recipe)
        curves = {ranks: curve(home, options.recipe, ranks) for ranks in (1, 2)}
    drawn(options.recipe, curves).savefig(options.figure, dpi=120)
    apart = max(abs(curves[1][step] - curves[2][step]) for step in curves[1])
    print(f"{options.recipe}: {len(curves[1])} points, at most {apart:.2g} apart; {options.figure}")


def curve(home: str, recipe: str, ranks: int) -> Curve:
    """train/loss by step."""
    result = millstream(home, "train", recipe, "--fresh", "--devices", str(ranks), "--set", "network.dropout=0.0")
    client = MlflowClient(f"sqlite:///{home}/tracking.db")
    return {point.step: point.value for point in client.get_metric_history(result["run_id"], "train/loss")}


def millstream(home: str, *words: str) -> dict[str, str]:
    ran = subprocess.run(
        [sys.executable, "-m", "millstream", *words, "--json"],
        env={**os.environ, "MILLSTREAM_HOME": home},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, str] = json.loads(ran.stdout.splitlines()[-1])
    return found


def drawn(recipe: str, curves: dict[int, Curve]) -> Figure:
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, sharex=True, height_ratios=(3, 1))
    for (ranks, points), style in zip(
        curves.items(), ({"lw": 4, "alpha": 0.4}, {"lw": 1, "color": "black"}), strict=True
    ):
        above.plot(list(points), list(points.values()), label=f"{ranks} process" + "es" * (ranks > 1), **style)
    above.set(yscale="log", ylabel="train/loss", title=recipe)
    above.legend()
    steps = list(curves[1])
    below.plot(steps, [abs(curves[1][step] - curves[2][step]) for step in steps], color="black", lw=1)
    below.set(yscale="log", ylabel="apart", xlabel="step")
    return figure


if __name__ == "__main__":
    main()
