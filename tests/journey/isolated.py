"""A process of somebody who has a registered model and no Millstream: neither installed nor beside them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

PREDICT = """
import time
began = time.perf_counter()
import json, os, sys
uri, raw, answer, *absent = sys.argv[1:]

class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path[:] = [NotInstalled(), *(
    one for one in sys.meta_path if "__editable__" not in getattr(one, "__module__", "")
)]
sys.path.insert(0, os.getcwd())  # as for a script of the user's
import mlflow, pandas as pd
model = mlflow.pyfunc.load_model(uri)
rows = pd.read_parquet(raw)
model.predict(rows.head(3))
took = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time()}
found, example = model.predict(rows), model.input_example
found.to_parquet(answer)
assert len(model.predict(example)) == len(example)
import training, tracking
own = [one.__file__ for name, one in sys.modules.items() if name.startswith("millstream.") and one.__file__]
print(json.dumps({"training": training.OWN, "tracking": tracking.OWN, "own": own} | took))
"""
NEVER = ("pyspark", "pytorch_lightning", "torchmetrics", "petastorm")


def users_folder(folder: Path) -> Path:
    """A folder whose owner uses the names of Millstream's folders for their own."""
    (folder / "training").mkdir(parents=True)
    (folder / "training" / "__init__.py").write_text("OWN = 'mine'\n")
    (folder / "tracking.py").write_text("OWN = 'mine, too'\n")
    return folder


class Answer(NamedTuple):
    predictions: pd.DataFrame
    seconds: float
    """From the start of the script to the first prediction."""
    cpu_seconds: float


def predicted(
    uri: str, raw: pd.DataFrame, folder: Path, tracking_uri: str, absent: tuple[str, ...] = (), python: str = ""
) -> Answer:
    """Predictions of a model for raw rows, in a process in `folder` that sees no Millstream; the packages `absent` are
    not installed there. It predicts its own example, too."""
    raw.to_parquet(folder / "raw.parquet")
    command = [python or sys.executable, "-I", "-B", "-c", PREDICT, uri, "raw.parquet", "answer.parquet"]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": tracking_uri}
    ran = subprocess.run(
        [*command, *NEVER, *absent], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    report: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    assert (report["training"], report["tracking"]) == ("mine", "mine, too")
    assert report["own"]
    assert all("/code/millstream/" in one for one in report["own"])
    return Answer(pd.read_parquet(folder / "answer.parquet"), report["seconds"], report["cpu_seconds"])
