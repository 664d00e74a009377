"""SMOTE of a million rows of 15 numbers, 8,000 of them rare, until both classes are as many.

    python -m benchmarks.preparation.smote [--rows N] [--rare N] [--rounds N] [--json FILE]

Ours is the step `rebalance` of a whole `millstream prepare`, by the manifest's own seconds, and the whole process; the
peer is imbalanced-learn on the same rows in memory, in one process, without writing anything.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.preparation.process import Cost, cost, machine, plain, report, step_of

COLUMNS, MINUTES = 15, 3.0
STEP, WHOLE, PEER = "millstream, the step", "millstream, the whole prepare", "imbalanced-learn, in memory"


def main() -> None:
    options = _options()
    print(machine(), file=sys.stderr)
    costs: dict[str, list[Cost]] = {STEP: [], WHOLE: [], PEER: []}
    with tempfile.TemporaryDirectory() as scratch:
        recipe = _recipe(Path(scratch), options.rows, options.rare)
        for at in range(options.rounds):
            home = Path(scratch) / f"home{at}"
            whole = cost([sys.executable, "-m", "millstream", "prepare", str(recipe)], {"MILLSTREAM_HOME": str(home)})
            costs[WHOLE].append(whole)
            costs[STEP].append(Cost(seconds=step_of(home, "rebalance")["seconds"]))
            costs[PEER].append(_peer(Path(scratch) / "rows.parquet"))
            print(f"round {at + 1}: {costs[STEP][-1].seconds:.1f} s for the step, {machine()}", file=sys.stderr)
    report(costs)
    print(f"wanted: the whole within {60 * MINUTES:.0f} s")
    if options.json:
        Path(options.json).write_text(json.dumps({"machine": machine(), "costs": plain(costs)}, indent=1))


def _recipe(folder: Path, rows: int, rare: int) -> Path:
    drawn = np.random.default_rng(0)
    label = np.where(np.arange(rows) < rare, "rare", "common")
    numbers = drawn.normal(size=(rows, COLUMNS)) + (label == "rare")[:, None] * 0.5
    frame = pd.DataFrame(numbers, columns=[f"x{at}" for at in range(COLUMNS)]).assign(label=label, id=np.arange(rows))
    frame.to_parquet(folder / "rows.parquet", index=False)
    columns: dict[str, Any] = {f"x{at}": {"type": "double"} for at in range(COLUMNS)}
    columns |= {"label": {"type": "string", "role": "target"}, "id": {"type": "long", "role": "key"}}
    files = [{"name": str(folder / "rows.parquet")}]
    source = {"name": "table", "format": "parquet", "key": "id", "files": files, "columns": columns}
    steps = [{"split": {"by": "hash"}}, {"rebalance": {"method": "smote"}}, {"encode": {"columns": ["label"]}}]
    recipe = folder / "smote.yaml"
    recipe.write_text(json.dumps({"about": "a million", "data": {"name": "million", "source": source, "steps": steps}}))
    return recipe


def _peer(file: Path) -> Cost:
    from imblearn.over_sampling import SMOTE

    rows = pd.read_parquet(file)
    started, cpu_s = time.perf_counter(), time.process_time()
    SMOTE(k_neighbors=5, random_state=0).fit_resample(rows.drop(columns=["label", "id"]), rows["label"])
    return Cost(seconds=time.perf_counter() - started, cpu_s=time.process_time() - cpu_s)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rare", type=int, default=8_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", help="where to write what was measured")
    return parser.parse_args()


if __name__ == "__main__":
    main()
