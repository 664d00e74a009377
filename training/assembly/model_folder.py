"""Saves and loads a trained model as a folder without code: raw columns in, predictions out.

It holds `model.json` (recipe and signature), `manifest.json` (fitted preparation) and `weights.pt` (tensors alone).
MLflow loads it through `millstream.pyfunc`, wherever Millstream is installed, without Spark.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from millstream.tracking.dataset import manifest as contract
from millstream.tracking.dataset.manifest import Manifest
from millstream.tracking.dataset.records import Column
from millstream.tracking.dataset.signature import InputField, Signature
from millstream.tracking.errors import BadData
from millstream.tracking.recipe.schema import Located
from millstream.tracking.serving import replay
from millstream.training.assembly.build import parts_of
from millstream.training.checkpoints import archive
from millstream.training.feed.batch import Ragged, Value
from millstream.training.task import Task

ABOUT = "model.json"
WEIGHTS = "weights.pt"
REQUIREMENTS = (
    "torch",
    "pytorch-lightning",
    "torchmetrics",
    "numpy",
    "pandas",
    "scikit-learn",
    "xgboost-cpu",
    "skops",
    "zuko",
)
ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class Model:
    """A trained task in evaluation mode, with the manifest that prepares raw rows."""

    task: Task
    located: Located
    manifest: Manifest | None

    @property
    def raw_columns(self) -> tuple[Column, ...]:
        """Input columns of `predict`, as before any preparation."""
        if self.manifest is not None:
            return replay.raw_columns(self.manifest)
        return tuple(column for field in self.task.signature.inputs for column in field.columns)

    @property
    def optional(self) -> frozenset[str]:
        """Raw columns that may be missing."""
        return replay.optional_columns(self.manifest) if self.manifest is not None else frozenset()

    def get_raw_model(self) -> Model:
        """This model without MLflow's wrapper, whose signature does not accept 64-bit integers with missing values."""
        return self

    @property
    def brought(self) -> dict[str, str]:
        """Raw columns that the caller must compute, since serving cannot, with the steps that computed them."""
        return replay.brought(self.manifest) if self.manifest is not None else {}

    def predict(self, raw: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """One row of `task.outputs` per raw row, in their order; extra columns are ignored.

        With the `params` `generate` and `seed`, a generative model returns that many samples instead: the columns of
        `task.generated`. Raises BadData naming every column that is missing or of another shape.
        """
        given = params or {}
        if self.task.generated and given.get("generate"):
            drawn = self.task.generate(int(given["generate"]), int(given.get("seed", 0)))
            return pd.DataFrame({name: list(values) for name, values in drawn.items()})
        prepared = replay.replay(raw, self.manifest) if self.manifest is not None else raw
        pieces = [self._predict(piece) for piece in _pieces(prepared)]
        columns = list(self.task.outputs)
        return pd.concat(pieces, ignore_index=True)[columns] if pieces else pd.DataFrame(columns=columns)

    def _predict(self, prepared: pd.DataFrame) -> pd.DataFrame:
        with torch.no_grad():
            found = self.task.predict(*tensors(prepared, self.task.signature))
        return pd.DataFrame({name: list(values) for name, values in found.items()})


def save(folder: Path, located: Located, task: Task, manifest: Manifest | None) -> Model:
    """Write the model into `folder`; return it as loaded from there."""
    folder.mkdir(parents=True, exist_ok=True)
    about = {
        "recipe": located.name,
        "resolved": located.resolved(),
        "signature": task.signature.model_dump(mode="json"),
    }
    (folder / ABOUT).write_text(json.dumps(about, indent=1), encoding="utf-8")
    if manifest is not None:
        (folder / contract.FILE).write_text(manifest.text(), encoding="utf-8")
    archive.save(task.network.state_dict(), folder / WEIGHTS)
    return load(folder)


def load(folder: Path) -> Model:
    """The model in `folder`, ready to predict. Raises BadData when the folder holds none."""
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadData.at(folder / ABOUT, f"no model of Millstream there ({error})") from None
    located = Located(about["resolved"], about["recipe"], folder / ABOUT, "cpu", {})
    task = parts_of(located).build(Signature.model_validate(about["signature"]))
    task.network.load_state_dict(archive.load(folder / WEIGHTS))
    task.eval()
    manifest = Manifest.read(folder) if (folder / contract.FILE).is_file() else None
    return Model(task, located, manifest)


def tensors(prepared: pd.DataFrame, signature: Signature) -> tuple[Value, ...]:
    """The rows as network inputs, equal to those of the feed for the same values."""
    return tuple(_value(prepared, field) for field in signature.inputs)


def _pieces(frame: pd.DataFrame) -> Iterator[pd.DataFrame]:
    for start in range(0, len(frame), ROWS_AT_ONCE):
        yield frame.iloc[start : start + ROWS_AT_ONCE]


def _value(prepared: pd.DataFrame, field: InputField) -> Value:
    first = field.columns[0]
    if first.layout == "list":
        return _padded(list(prepared[first.name]))
    if first.layout == "tensor":
        values = np.stack([_array(value, first) for value in prepared[first.name]])
    else:
        values = np.stack([np.asarray(prepared[column.name]) for column in field.columns], axis=1)
    values = values.astype(field.dtype)
    if first.affine is not None:
        values = (values - np.float32(first.affine.offset)) * np.float32(first.affine.factor)
    return torch.from_numpy(np.ascontiguousarray(values, dtype=field.dtype))


def _array(value: Any, column: Column) -> NDArray[Any]:
    """A tensor from raw little-endian bytes, or from a (nested) list or array of numbers."""
    dtype = np.dtype(column.dtype).newbyteorder("<")
    is_bytes = isinstance(value, bytes | bytearray | memoryview)
    found = np.frombuffer(value, dtype) if is_bytes else np.asarray(list(value)).astype(dtype)
    if found.size != np.prod(column.shape):
        raise BadData.at(f"column {column.name!r}", f"{found.size} numbers in a row; expected the shape {column.shape}")
    return found.reshape(column.shape)


def _padded(rows: list[Any]) -> Ragged:
    lengths = [len(row) for row in rows]
    values = np.zeros((len(rows), max(lengths)), np.int64)
    for at, row in enumerate(rows):
        values[at, : len(row)] = row
    return Ragged(torch.from_numpy(values), torch.tensor(lengths, dtype=torch.int64))
