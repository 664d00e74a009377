"""The features of card fraud: `millstream prepare data/fraud` against one process by hand, as whole processes.

    python -m benchmarks.preparation.fraud [--peers PYTHON] [--rounds N] [--times N] [--json FILE]

1,754,155 transactions of MILLSTREAM_MIRROR. By hand is benchmarks/preparation/fraud_peers.py, which does less: it
checks no hash, proves no split, and publishes nothing. Contestants take turns, round by round. `--peers` is a Python
with benchmarks/preparation/peers.txt installed. `--times 10` prepares ten times the rows instead (other cards,
terminals and transactions), and reports how far the time is from linear.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.preparation.process import Cost, cost, machine, plain, report

OURS, APPLIED, ROLLED, POLARS = "millstream", "pandas, a call an entity", "pandas, windows over groups", "Polars"
SPARK = "Spark, which only reads and writes"
WANTED = {APPLIED: 3.0}
ENTITIES = {"TRANSACTION_ID": 2_000_000, "CUSTOMER_ID": 5_000, "TERMINAL_ID": 10_000}
"""How far ids are moved for each further copy of the rows."""
LINEAR = 1.1


def main() -> None:
    options = _options()
    mirror = Path(os.environ["MILLSTREAM_MIRROR"])
    files = sorted((mirror / "fraud_simulated" / "raw").glob("*.parquet"))
    print(machine(), file=sys.stderr)
    with tempfile.TemporaryDirectory() as scratch:
        if options.times > 1:
            costs = grown(files, options.times, options.rounds, Path(scratch))
        else:
            costs = contest(files, options.peers, options.rounds, Path(scratch))
    report(costs)
    seconds = {name: statistics.median(one.seconds for one in each) for name, each in costs.items()}
    if options.times > 1:
        once, many = seconds.values()
        print(f"{options.times} times the rows: {many / once / options.times:.2f} of linear (wanted <= {LINEAR})")
    for name in seconds.keys() & {APPLIED, ROLLED, SPARK, POLARS}:
        wanted = f" (wanted >= {WANTED[name]:g})" if name in WANTED else ""
        print(f"{OURS} / {name}: {seconds[name] / seconds[OURS]:.2f} times its speed{wanted}")
    if options.json:
        Path(options.json).write_text(json.dumps({"machine": machine(), "costs": plain(costs)}, indent=1))


def contest(files: list[Path], peers: str | None, rounds: int, scratch: Path) -> dict[str, list[Cost]]:
    """What each contestant cost, round by round."""
    module, hand = "benchmarks.preparation.fraud_peers", [str(file) for file in files]
    commands = {
        OURS: [sys.executable, "-m", "millstream", "prepare", "data/fraud"],
        APPLIED: [sys.executable, "-m", module, "applied", str(scratch / "applied"), *hand],
        ROLLED: [sys.executable, "-m", module, "rolled", str(scratch / "rolled"), *hand],
        SPARK: [sys.executable, "-m", module, "spark", str(scratch / "spark"), *hand],
    }
    if peers:
        commands[POLARS] = [peers, "-m", module, "polars", str(scratch / "polars"), *hand]
    costs: dict[str, list[Cost]] = {name: [] for name in commands}
    for at in range(rounds):
        for name, command in commands.items():
            costs[name].append(cost(command, {"MILLSTREAM_HOME": str(scratch / f"home{at}")}))
            print(f"round {at + 1}, {name}: {costs[name][-1].seconds:.1f} s, load {machine()}", file=sys.stderr)
    return costs


def grown(files: list[Path], times: int, rounds: int, scratch: Path) -> dict[str, list[Cost]]:
    """What the preparation costs once, and for `times` the rows."""
    recipes = {1: _recipe(files, 1, scratch), times: _recipe(files, times, scratch)}
    costs: dict[str, list[Cost]] = {f"{copies} times the rows": [] for copies in recipes}
    for at in range(rounds):
        for copies, recipe in recipes.items():
            home = {"MILLSTREAM_HOME": str(scratch / f"home{at}-{copies}"), "MILLSTREAM_MIRROR": str(scratch)}
            found = cost([sys.executable, "-m", "millstream", "prepare", str(recipe)], home)
            costs[f"{copies} times the rows"].append(found)
            print(f"round {at + 1}, {copies} times: {found.seconds:.1f} s, {machine()}", file=sys.stderr)
    return costs


def _recipe(files: list[Path], copies: int, scratch: Path) -> Path:
    """A recipe on `copies` of the rows, each with cards, terminals and transactions of its own."""
    import pandas as pd

    folder = scratch / f"raw{copies}"
    folder.mkdir()
    for file in files:
        rows = pd.read_parquet(file)
        for copy in range(copies):
            moved = {name: rows[name] + copy * by for name, by in ENTITIES.items()}
            made = rows.assign(**moved).astype({"TX_DATETIME": "datetime64[us]"})
            made.to_parquet(folder / f"{file.stem}-{copy}.parquet", index=False)
    names = [{"name": f"{folder.name}/{file.name}"} for file in sorted(folder.iterdir())]
    recipe = scratch / f"fraud-{copies}.yaml"
    recipe.write_text(json.dumps({"about": "more rows", "base": "data/fraud", "change": {"data.source.files": names}}))
    return recipe


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", help="a Python that has benchmarks/preparation/peers.txt installed")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--times", type=int, default=1, help="prepare so many times the rows, against once")
    parser.add_argument("--json", help="where to write what was measured")
    return parser.parse_args()


if __name__ == "__main__":
    main()
