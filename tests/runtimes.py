"""One model in four runtimes: MLflow's pyfunc, Spark, REST and onnxruntime."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import onnxruntime
import pandas as pd
import pyarrow.parquet as pq
from starlette.testclient import TestClient

from millstream.pipelines.score import score
from millstream.tracking.runs import model_logging
from millstream.tracking.serving import replay
from millstream.tracking.settings import Settings
from millstream.training.export import onnx_file
from millstream.training.export.graph_inputs import dtype_of
from millstream.training.serving import model_file
from millstream.training.serving.arrays import Padded, arrays
from millstream.training.serving.model import Model
from millstream.training.serving.rest import Service

Numbers = dict[str, np.ndarray]
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def check_runtimes(uri: str, settings: Settings, raw: pd.DataFrame, folder: Path) -> list[str]:
    """Compares the numbers of all four for raw rows; returns the columns that the graph has, too."""
    model = model_file.load(model_logging.model_folder(uri, settings))
    raw = raw[[column.name for column in model.raw_columns]].reset_index(drop=True)
    mlflow.set_tracking_uri(settings.tracking_uri)
    expected = numbers(mlflow.pyfunc.load_model(uri).predict(raw))
    same(numbers(on_spark(uri, settings, raw, folder)), expected)
    same(numbers(by_rest(model, raw)), expected)
    found = by_onnx(uri, settings, model, raw, folder)
    shared = [name for name in found if name in expected]
    same({name: found[name] for name in shared}, {name: expected[name] for name in shared})
    return shared


def numbers(predicted: pd.DataFrame) -> Numbers:
    """The columns of numbers, with a row of an array for each row of the table."""
    columns = {name: np.stack([np.asarray(value) for value in predicted[name]]) for name in predicted}
    return {name: values.astype(np.float64) for name, values in columns.items() if values.dtype.kind in "iuf"}


def same(found: Numbers, expected: Numbers) -> None:
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, **CLOSE, err_msg=name)


def on_spark(uri: str, settings: Settings, raw: pd.DataFrame, folder: Path) -> pd.DataFrame:
    raw.assign(row=np.arange(len(raw))).to_parquet(folder / "raw.parquet")
    score(uri, str(folder / "raw.parquet"), str(folder / "on spark"), settings, master="local[2]")
    scored = pq.read_table(folder / "on spark").to_pandas().sort_values("row", ignore_index=True)
    return scored.drop(columns=["row", *raw.columns])


def by_rest(model: Model, raw: pd.DataFrame) -> pd.DataFrame:
    client = TestClient(Service(model, "model").app())
    rows = [{name: plain(value) for name, value in row.items()} for row in raw.to_dict("records")]
    answer = client.post("/predict", content=json.dumps({"rows": rows}), headers={"Content-Type": "application/json"})
    assert answer.status_code == 200, answer.text
    return pd.DataFrame(answer.json()["predictions"])


def plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if pd.isna(value):
        return None
    return value.item() if isinstance(value, np.generic) else value


def by_onnx(uri: str, settings: Settings, model: Model, raw: pd.DataFrame, folder: Path) -> Numbers:
    output = folder / "model.onnx"
    onnx_file.export(model_logging.model_folder(uri, settings), output)
    prepared = replay.replay(raw, model.manifest) if model.manifest is not None else raw
    feed: dict[str, Any] = {}
    for field, value in zip(model.signature.inputs, arrays(prepared, model.signature), strict=True):
        first = field.columns[0]
        if isinstance(value, Padded):
            feed |= {field.name: value.values_BT, f"{field.name}_lengths": value.lengths_B}
        elif first.affine is not None and first.layout == "tensor":  # the graph takes the stored numbers
            stored = [np.frombuffer(one, dtype_of(field)).reshape(field.shape) for one in prepared[first.name]]
            feed[field.name] = np.stack(stored)
        else:
            feed[field.name] = value
    session = onnxruntime.InferenceSession(output, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_outputs()]
    found = dict(zip(names, session.run(names, feed), strict=True))
    return {name: np.asarray(values, np.float64) for name, values in found.items()}
