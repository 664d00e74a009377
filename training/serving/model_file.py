"""Loads the folder of a registered model; `training.assembly.model_folder` writes it.

`model.json` has how to build the network or estimator and its predictor; `manifest.json` has the fitted preparation,
`weights.pt` or `estimator.bin` the state, without code.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, Field, ValidationError

from millstream.tracking.dataset import manifest as contract
from millstream.tracking.dataset.manifest import Manifest
from millstream.tracking.dataset.signature import Signature
from millstream.tracking.errors import BadData
from millstream.tracking.recipe import plugins
from millstream.training.predictions._predictor import Base
from millstream.training.serving import fitted
from millstream.training.serving.model import Model, Runtime

ABOUT = "model.json"
NETWORKS = "millstream.training.networks"
PREDICTIONS = "millstream.training.predictions"


class Served(BaseModel, frozen=True, extra="forbid"):
    """How predictions are made, in `model.json` under `served`."""

    network: dict[str, Any] = Field(description="`name` in training/networks, and its fields")
    required: Signature = Field(description="what the network is built from")
    predictor: dict[str, Any] = Field(description="`name` in training/predictions, and its fields")
    sha256: str | None = Field(None, description="of the state of an estimator; None for a network, whose file has it")
    channels_last: bool = False

    def build(self) -> Any:
        """The network or estimator with initial weights."""
        module = plugins.find(NETWORKS, self.network["name"])
        return module.build(module.Config(**_fields(self.network)), self.required)

    def predict(self) -> Base:
        found: Base = plugins.find(PREDICTIONS, self.predictor["name"]).Predictor(**_fields(self.predictor))
        return found


class About(NamedTuple):
    """`model.json`; `served` is None for a model that is served by its whole task, as all were before."""

    recipe: str
    resolved: dict[str, Any]
    signature: Signature
    served: Served | None


def load(folder: Path) -> Model:
    """The model in `folder`, ready to predict. Raises BadData when the folder holds none."""
    about = read(folder)
    if about.served is None:
        raise BadData.at(folder / ABOUT, "is served by its whole task; load it by training.assembly.model_folder")
    return Model(_runtime(about.served, folder), about.signature, manifest_of(folder))


def read(folder: Path) -> About:
    """Raises BadData when the folder holds no model, or one of a newer version of Millstream."""
    try:
        content = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        served = content.get("served")
        return About(
            content["recipe"],
            content["resolved"],
            Signature.model_validate(content["signature"]),
            None if served is None else Served.model_validate(served),
        )
    except (OSError, ValueError, KeyError) as error:
        newer = "; a newer Millstream may have written it" if isinstance(error, ValidationError) else ""
        raise BadData.at(folder / ABOUT, f"no model of Millstream there ({error}){newer}") from None


def manifest_of(folder: Path) -> Manifest | None:
    return Manifest.read(folder) if (folder / contract.FILE).is_file() else None


def _runtime(served: Served, folder: Path) -> Runtime:
    try:
        if served.sha256 is not None:
            return fitted.load(served.build(), served.predict(), folder, served.sha256)
        # here, since an estimator needs no torch
        from millstream.training.serving import network

        return network.load(served.build, served.predict(), folder, channels_last=served.channels_last)
    except (plugins.UnknownPart, ValidationError) as error:
        message = f"this version of Millstream cannot build it ({error.args[0] if error.args else error})"
        would = "in a process that has not imported Millstream yet, MLflow loads it with its own code"
        raise BadData.at(folder / ABOUT, f"{message}; {would}") from error


def _fields(named: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in named.items() if name != "name"}
