"""Saves a trained model as a folder without code, and loads it with the task that was trained.

It holds `model.json` (recipe, signature, and how predictions are made), `manifest.json` (fitted preparation), and
`weights.pt` (tensors alone) or `estimator.bin`. MLflow loads it through `millstream.pyfunc`, which needs neither the
task nor Spark: `training.serving.model_file`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from millstream.tracking.dataset import manifest as contract
from millstream.tracking.dataset.manifest import Manifest
from millstream.tracking.dataset.signature import Signature
from millstream.tracking.recipe.schema import Located
from millstream.tracking.serving import replay
from millstream.training.assembly.build import parts_of
from millstream.training.checkpoints import archive
from millstream.training.estimator_module import EstimatorModule
from millstream.training.feed.batch import Value
from millstream.training.predictions._predictor import Columns
from millstream.training.serving import arrays, fitted, model_file, network
from millstream.training.serving.arrays import Inputs
from millstream.training.serving.model import ROWS_AT_ONCE
from millstream.training.serving.model import Model as Served
from millstream.training.task import Task


@dataclass(frozen=True)
class Model(Served):
    """A trained task in evaluation mode, with the manifest that prepares raw rows."""

    task: Task
    located: Located


@dataclass(frozen=True)
class _WholeTask:
    """Predictions by the task itself."""

    task: Task

    @property
    def rows_at_once(self) -> int:
        return ROWS_AT_ONCE

    @property
    def outputs(self) -> Mapping[str, str]:
        return self.task.outputs

    @property
    def generated(self) -> Mapping[str, str]:
        return self.task.generated

    def predict(self, inputs: Inputs) -> Columns:
        with torch.no_grad():
            return self.task.predict(*network.tensors(inputs))

    def generate(self, count: int, seed: int) -> Columns:
        return self.task.generate(count, seed)


def save(folder: Path, located: Located, task: Task, manifest: Manifest | None) -> Model:
    """Write the model into `folder`; return it as loaded from there."""
    folder.mkdir(parents=True, exist_ok=True)
    sha256 = None
    if _is_fitted(task):
        sha256 = fitted.save(task.network.estimator, folder)
    else:
        archive.save(task.network.state_dict(), folder / network.WEIGHTS)
    about = {
        "recipe": located.name,
        "resolved": located.resolved(),
        "signature": task.signature.model_dump(mode="json"),
    }
    if task.predictor is not None:
        about["served"] = _served(located, task, sha256).model_dump(mode="json")
    (folder / model_file.ABOUT).write_text(json.dumps(about, indent=1), encoding="utf-8")
    if manifest is not None:
        (folder / contract.FILE).write_text(manifest.text(), encoding="utf-8")
    return load(folder)


def load(folder: Path) -> Model:
    """The model in `folder`, ready to predict, with its task. Raises BadData when the folder holds none."""
    about = model_file.read(folder)
    located = Located(about.resolved, about.recipe, folder / model_file.ABOUT, "cpu", {})
    task = parts_of(located).build(about.signature)
    if about.served is not None and about.served.sha256 is not None:
        fitted.load(task.network.estimator, about.served.predict(), folder, about.served.sha256)
    else:
        task.network.load_state_dict(archive.load(folder / network.WEIGHTS))
    task.eval()
    return Model(_WholeTask(task), about.signature, model_file.manifest_of(folder), task, located)


def tensors(prepared: pd.DataFrame, signature: Signature) -> tuple[Value, ...]:
    """The rows as network inputs, equal to those of the feed for the same values."""
    return network.tensors(arrays.arrays(prepared, signature))


def modules(located: Located, task: Task, manifest: Manifest | None) -> list[str]:
    """The modules of Millstream that predict with the model."""
    network_module = f"{model_file.NETWORKS}.{located.section('network')['name'].replace('/', '.')}"
    transforms = replay.modules(manifest) if manifest is not None else []
    if task.predictor is None:
        return [network_module, type(task).__module__, __name__, *transforms]
    runtime = [] if _is_fitted(task) else [network.__name__]
    return [network_module, type(task.predictor).__module__, *runtime, *transforms]


def _is_fitted(task: Task) -> bool:
    """Whether predictions need the estimator alone."""
    return isinstance(task.network, EstimatorModule) and task.predictor is not None


def _served(located: Located, task: Task, sha256: str | None) -> model_file.Served:
    predictor = task.predictor
    name = type(predictor).__module__.removeprefix(f"{model_file.PREDICTIONS}.").replace(".", "/")
    values = {} if predictor is None else predictor.model_dump(mode="json")
    return model_file.Served(
        network=located.section("network"),
        required=type(task).network_signature(task.config, task.signature),
        predictor={"name": name, **values},
        sha256=sha256,
        channels_last=task.fit.channels_last,
    )
