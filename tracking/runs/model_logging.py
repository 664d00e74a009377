"""Logs models without pickles, registers them under the name of their recipe, and loads them by URI."""

from __future__ import annotations

import json
import logging
import shutil
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import TYPE_CHECKING, Any

import mlflow
import pandas as pd
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from mlflow.types.schema import AnyType, Array

from millstream.tracking.dataset import manifest as contract
from millstream.tracking.dataset.manifest import Manifest
from millstream.tracking.dataset.records import Column
from millstream.tracking.errors import BadData
from millstream.tracking.recipe import plugins
from millstream.tracking.recipe.schema import Direction
from millstream.tracking.recipe.store_names import registered_name
from millstream.tracking.runs import model_check, model_code
from millstream.tracking.runs.champion import Entry
from millstream.tracking.runs.mlflow_store import open_store
from millstream.tracking.runs.promotion import Measure
from millstream.tracking.runs.store_errors import StoreError, answering
from millstream.tracking.serving.columns import UNKNOWN_CLASS
from millstream.tracking.settings import Settings

if TYPE_CHECKING:  # a run draws figures: a model is scored without matplotlib
    from millstream.tracking.runs.run import Run

_EXAMPLE = "input_example.json"
LOADER = "millstream.pyfunc"
DATA = "data/model"
"""The folder of `training.assembly.model_folder`, within a model."""


@dataclass(frozen=True)
class Described:
    """Model signature: input and output columns with their types, and the folder of the files."""

    folder: Path
    inputs: dict[str, str]
    outputs: dict[str, str]
    manifest: Manifest | None
    """Of the dataset version that the model was trained on; None for models trained in an environment."""


def log_model(
    run: Run,
    folder: Path,
    *,
    metrics: Mapping[str, float],
    objective: tuple[str, Direction] = ("", "max"),
    dataset_version: str | None,
    inputs: Sequence[Column],
    optional: Collection[str] = (),
    outputs: Mapping[str, str],
    example: pd.DataFrame,
    modules: Sequence[str],
    brought: Mapping[str, str] | None = None,
    generates: bool = False,
    register: bool = True,
    measure: Measure | None = None,
) -> str:
    """Log the folder of `training.assembly.model_folder` as the run's model, and register it; returns its URI.

    `modules` are those of Millstream that predict; the model gets a copy of them and of what they import. `optional`
    names the inputs that may be missing; `brought` are inputs that the caller must compute, with the steps
    that compute them in preparation. With `generates`, the model takes the params `generate` (number of samples) and
    `seed`. `objective` is the metric, with its direction, by which versions of a recipe without pass marks are
    compared; `measure` measures the champion on another dataset version. Without `register` the model stays with its
    run, under `runs:/<run>/model`. While the store is down it is kept in a folder next to that of
    `training.assembly.model_folder`, whose path is returned, and waits in the run's spool.
    """
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    model = Model(run_id=run.id, signature=_signature(inputs, optional, outputs, generates))
    model.saved_input_example_info = {"artifact_path": _EXAMPLE, "type": "json_object"}
    model.metadata = {"recipe": run.located.name, "dataset_version": dataset_version, "outputs": dict(outputs)}
    if brought:
        model.metadata["brought"] = dict(brought)
        run.tag(brought=", ".join(f"{name} ({step})" for name, step in brought.items()))
    local = folder.parent / "mlflow-model"
    shutil.rmtree(local, ignore_errors=True)  # left by an interrupted attempt of this run
    code = model_code.needed([LOADER, *modules])
    requirements = model_code.requirements(code)
    with TemporaryDirectory(prefix="millstream-code-") as copied:
        mlflow.pyfunc.save_model(
            path=str(local),
            loader_module=LOADER,
            data_path=str(folder),
            code_paths=[str(model_code.write(code, Path(copied)))],
            mlflow_model=model,
            pip_requirements=requirements,
            input_example=None,
        )
    _write_example(local / _EXAMPLE, example, inputs)
    if register and run.settings.check_models and run.located.budget != "smoke":
        _check(run, local, code)
    data = run.located.recipe.data
    entry = Entry(
        recipe=run.located.name,
        about=run.located.recipe.about,
        dataset_version=dataset_version or "",
        marks=run.located.recipe.marks,
        metrics=dict(metrics),
        dataset=(data.name or str(data.source["name"])) if data else "",
        budget=run.located.budget,
        limit=data.source.get("limit") if data else None,
        metric=objective[0],
        direction=objective[1],
    )
    return run.model(local, entry if register else None, measure)


def _check(run: Run, local: Path, code: Sequence[str]) -> None:
    """Report a model that does not load from its own code alone; it is registered nevertheless."""
    fault = model_check.fault(local, tuple(code))
    run.tag(self_contained="true" if fault is None else fault)
    if fault is not None:
        found = f"the model does not predict from its own code and requirements ({fault})"
        would = "it is registered, and predicts where this version of Millstream is installed; report the message"
        sys.stderr.write(f"{found}: {would}\n")


def model_folder(uri: str, settings: Settings) -> Path:
    """Local folder of `training.assembly.model_folder` in a model. Raises BadData if there is no such model."""
    return _files(uri, settings) / DATA


def describe(uri: str, settings: Settings) -> Described:
    """Signature of a model. Raises BadData if there is no such model, or it was not logged by Millstream."""
    folder = _files(uri, settings)
    model = Model.load(str(folder))
    outputs = (model.metadata or {}).get("outputs")
    if model.signature is None or outputs is None:
        raise BadData.at(uri, "is no model of Millstream: it has no signature of its inputs and outputs")
    inputs = {spec["name"]: str(spec["type"]) for spec in model.signature.inputs.to_dict()}
    data = folder / DATA
    manifest = Manifest.read(data) if (data / contract.FILE).is_file() else None
    return Described(folder, inputs, dict(outputs), manifest)


def _files(uri: str, settings: Settings) -> Path:
    if Path(uri).is_dir():
        return Path(uri)
    client = open_store(settings)
    if ":/" not in uri:
        names = [model.name for model in client.search_registered_models()]
        message = (
            "neither a folder nor the address of a model: give models:/NAME/VERSION, models:/NAME@champion or a folder"
        )
        raise BadData.at(uri, f"{message}; registered: {plugins.suggest(registered_name(uri), names)}")
    try:
        with answering(client.uri):
            return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=mkdtemp(dir=_copies().name)))
    except StoreError as error:
        if not error.has_looked:
            raise
        message = f"no such model ({error.faults[0].message})"
        raise BadData.at(uri, f"{message}; give models:/NAME/VERSION, models:/NAME@champion or a folder") from None


@cache
def _copies() -> TemporaryDirectory[str]:
    """Downloaded models, removed when this process ends; MLflow would keep them."""
    return TemporaryDirectory(prefix="millstream-models-")


def _signature(
    inputs: Sequence[Column], optional: Collection[str], outputs: Mapping[str, str], generates: bool
) -> ModelSignature:
    taken = [
        ColSpec(_kind(column, column.name in optional), column.name, required=column.name not in optional)
        for column in inputs
    ]
    given = [ColSpec(output_type(kind), name) for name, kind in outputs.items()]
    params = ParamSchema([ParamSpec(name, DataType.long, 0) for name in ("generate", "seed")]) if generates else None
    return ModelSignature(inputs=Schema(taken), outputs=Schema(given), params=params)


def output_type(kind: str) -> DataType | Array:
    """MLflow type of a task's output: `double`, or `Array(double)` for a list of them.

    Raises KeyError for a type unknown to MLflow.
    """
    if kind.startswith("Array("):
        return Array(DataType[kind.removeprefix("Array(").removesuffix(")")])
    return DataType[kind]


def _kind(column: Column, is_optional: bool) -> DataType | AnyType:
    if column.layout == "tensor":
        return DataType.binary
    if column.dtype == "string":
        return DataType.string
    if column.dtype.startswith("datetime64"):
        return DataType.datetime
    if column.dtype.startswith(("int", "uint")):
        # pandas converts integers with missing values to float, and MLflow refuses floats for `long`
        return AnyType() if is_optional else DataType.long
    return DataType.double


def _write_example(file: Path, example: pd.DataFrame, inputs: Sequence[Column]) -> None:
    """Write example rows with the types of the signature; missing values are omitted."""
    kinds = {column.name: _kind(column, is_optional=False) for column in inputs}
    rows = [
        {name: _plain(value, kinds.get(name)) for name, value in row.items() if not is_missing(value)}
        for row in example.to_dict("records")
    ]
    file.write_text(json.dumps(rows, default=float), encoding="utf-8")


def is_missing(value: Any) -> bool:
    """Whether a raw value is missing, or an unknown category."""
    is_unknown = isinstance(value, str) and value == UNKNOWN_CLASS
    return is_unknown or (bool(pd.api.types.is_scalar(value)) and bool(pd.isna(value)))


def _plain(value: Any, kind: DataType | AnyType | None) -> Any:
    """A value as JSON; bytes as a list of numbers."""
    if isinstance(value, bytes):
        return list(value)
    if kind == DataType.datetime:
        return pd.Timestamp(value).isoformat()
    as_kind = {DataType.long: int, DataType.double: float, DataType.string: str}.get(kind)
    return as_kind(value) if as_kind is not None and pd.api.types.is_scalar(value) else value
