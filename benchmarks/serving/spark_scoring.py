"""Rows a second of `score` on Spark, against the model's own forward pass per core in one process.

    python -m benchmarks.serving.spark_scoring MODEL ROWS [--table FILE] [--rounds N]

FILE is a Parquet file of raw rows, which are repeated; without it the columns of the model, which are then tensors, are
random. The forward pass takes prepared batches, on one thread. The start of Spark and of its Python workers, with the
model's libraries, is shown apart: a job over a few rows comes before those that are timed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # read when torch and XGBoost are imported, here and in the workers

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.preparation.process import machine
from millstream.pipelines import score
from millstream.pipelines.spark import arrow_pandas
from millstream.pipelines.spark.session import session
from millstream.tracking.runs import model_logging
from millstream.tracking.serving import replay
from millstream.tracking.settings import Settings
from millstream.training.serving.arrays import Inputs, arrays

FILES, BATCH, FORWARD_ROWS = 8, 10_000, 50_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("rows", type=int)
    parser.add_argument("--table", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    settings = Settings.read(os.environ)
    described = model_logging.describe(options.model, settings)
    model: Any = importlib.import_module(model_logging.LOADER)._load_pyfunc(str(described.folder / model_logging.DATA))
    some = sample(model, options.table)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        written(some, place / "few", BATCH)
        written(some, place / "many", options.rows)
        started = time.perf_counter()
        session(None, settings)
        score.score(options.model, str(place / "few"), str(place / "warm"), settings=settings)
        start_s = time.perf_counter() - started
        cores, rates, forward = os.cpu_count() or 1, [], []
        for _ in range(options.rounds):
            forward.append(of_forward(model, some))
            began = time.perf_counter()
            score.score(options.model, str(place / "many"), str(place / "scored"), settings=settings)
            rates.append(options.rows / (time.perf_counter() - began))
            shutil.rmtree(place / "scored")
    job, own = statistics.median(rates), statistics.median(forward)
    found = {
        "job, rows/s": job,
        "cores": cores,
        "forward pass, rows/s of a core": own,
        "ratio per core": job / cores / own,
    }
    each = {"jobs": rates, "forward passes": forward, "start, s": start_s}
    print(json.dumps({"model": options.model, "rows": options.rows, **found, **each, "machine": machine()}))


def sample(model: Any, file: Path | None) -> pa.Table:
    """Raw rows: those of the file, or random ones."""
    columns = model.raw_columns
    if file is not None:
        return pq.read_table(file, columns=[column.name for column in columns])
    draw, made = np.random.default_rng(0), {}
    for column in columns:
        values = draw.integers(0, 255, (FORWARD_ROWS, math.prod(column.shape)), dtype=np.uint8)
        made[column.name] = pa.array([row.tobytes() for row in values], pa.binary())
    return pa.table(made)


def written(some: pa.Table, folder: Path, rows: int) -> None:
    """`rows` rows in several files, so that each core has its own."""
    folder.mkdir()
    each = -(-rows // FILES)
    for at in range(FILES):
        count = max(0, min(each, rows - at * each))
        whole = pa.concat_tables([some] * (-(-count // len(some)) or 1)).slice(0, count)
        pq.write_table(whole, folder / f"part-{at}.parquet")


def of_forward(model: Any, some: pa.Table) -> float:
    """Rows a second of the network or estimator alone, on one thread."""
    prepared = [
        replay.replay(arrow_pandas.to_pandas(batch), model.manifest)
        for batch in some.slice(0, FORWARD_ROWS).to_batches(max_chunksize=BATCH)
    ]
    rows = model.runtime.rows_at_once
    batches = [
        as_given(model, arrays(piece.iloc[at : at + rows], model.signature))
        for piece in prepared
        for at in range(0, len(piece), rows)
    ]
    began = time.process_time()
    for batch in batches:
        forward(model, batch)
    return sum(map(len, prepared)) / (time.process_time() - began)


def as_given(model: Any, inputs: Inputs) -> tuple[Any, ...]:
    if not is_network(model):
        return inputs
    from millstream.training.serving.network import tensors

    return tensors(inputs)


def forward(model: Any, inputs: tuple[Any, ...]) -> None:
    if not is_network(model):
        model.runtime.part(*inputs)
        return
    import torch

    with torch.inference_mode():
        model.runtime.part(*inputs)


def is_network(model: Any) -> bool:
    return hasattr(model.runtime.part, "parameters")


if __name__ == "__main__":
    main()
