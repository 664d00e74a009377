"""Registered models of a recipe: the newest is `candidate`, the best on a dataset version `champion`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import mlflow
from pydantic import BaseModel

from millstream.tracking.recipe.schema import parse_mark
from millstream.tracking.recipe.store_names import registered_name
from millstream.tracking.runs.mlflow_store import Client
from millstream.tracking.runs.store_errors import EXISTS, StoreError, answering, shown

CANDIDATE, CHAMPION = "candidate", "champion"
LONGEST_ABOUT = 5000
"""Characters of a model's description that fit every MLflow database."""


class Entry(BaseModel, frozen=True):
    """Registry entry of a run's model: plain values, which can be spooled until the store is available."""

    recipe: str
    about: str
    dataset_version: str
    marks: dict[str, str]
    metrics: dict[str, float]

    @property
    def name(self) -> str:
        return registered_name(self.recipe)


def log_model(client: Client, run_id: str, folder: Path, entry: Entry | None) -> str:
    """Log the folder of an MLflow model with a run, and register it if there is an `entry`; returns its URI.

    Registered models never change: a run that is resumed later keeps its model.
    """
    if entry is None or _registered(client, run_id, entry) is None:
        client.log_artifacts(run_id, str(folder), "model")
        _check_arrived(client, run_id, folder, "model")
    return f"models:/{entry.name}/{register(client, run_id, entry)}" if entry else f"runs:/{run_id}/model"


def _check_arrived(client: Client, run_id: str, folder: Path, to: str) -> None:
    """Raises StoreError if a file of a folder is missing in the store: MLflow accepts any successful response, such as
    a proxy's login page."""
    held = {artifact.path for artifact in client.list_artifacts(run_id, to)}
    for path in folder.iterdir():
        name = f"{to}/{path.name}"
        if path.is_dir():
            _check_arrived(client, run_id, path, name)
        elif name not in held:
            message = f"took {name} of run {run_id}, and does not have it; look which proxies are before it"
            raise StoreError.at(shown(client.uri), f"the tracking store {message}")


def register(client: Client, run_id: str, entry: Entry) -> str:
    """Register the model logged with a run, and set its aliases; returns its version.

    It becomes `candidate` unless a newer one is, and `champion` if there is none, or it beats the current one in the
    recipe's first pass mark on the same dataset version. Registering again returns the same version.
    """
    try:
        client.create_registered_model(entry.name, description=entry.about[:LONGEST_ABOUT])
    except StoreError as error:
        if error.code != EXISTS:
            raise
    version = _version(client, run_id, entry)
    candidate = _holder(client, entry.name, CANDIDATE)
    if candidate is None or int(candidate.version) < int(version):
        client.set_registered_model_alias(entry.name, CANDIDATE, version)
    if _beats_champion(client, entry):
        client.set_registered_model_alias(entry.name, CHAMPION, version)
    return version


def _version(client: Client, run_id: str, entry: Entry) -> str:
    """Version of a run's model: that of an earlier attempt, whose response may have been lost, or a new one."""
    if version := _registered(client, run_id, entry):
        return version
    tags = {"recipe": entry.recipe, "dataset_version": entry.dataset_version}
    return str(client.create_model_version(entry.name, _source(client, run_id), run_id, tags=tags).version)


def _registered(client: Client, run_id: str, entry: Entry) -> str | None:
    """Version of a run's model that is already registered, if any."""
    source = _source(client, run_id)
    for version in client.search_model_versions(f"run_id = '{run_id}'"):
        if (version.name, version.source) == (entry.name, source):
            return str(version.version)
    return None


def _source(client: Client, run_id: str) -> str:
    return f"{client.get_run(run_id).info.artifact_uri}/model"


def _beats_champion(client: Client, entry: Entry) -> bool:
    champion = _holder(client, entry.name, CHAMPION)
    if champion is None or not _has_files(client, champion):
        return True
    if champion.tags.get("dataset_version") != entry.dataset_version or not entry.marks:
        return False
    metric, mark = next(iter(entry.marks.items()))
    better, _ = parse_mark(metric, mark)
    before = _metrics(client, champion).get(metric)
    now = entry.metrics.get(metric)
    if now is None or math.isnan(now):
        return False
    # a comparison with NaN is always false: a NaN champion would never be beaten
    return before is None or math.isnan(before) or (better(now, before) and now != before)


def _metrics(client: Client, champion: Any) -> dict[str, float]:
    """Metrics of the version's run; empty if it was deleted permanently (`mlflow gc`)."""
    try:
        return dict(client.get_run(champion.run_id).data.metrics)
    except StoreError as error:
        if not error.is_missing:
            raise
        return {}


def _has_files(client: Client, version: Any) -> bool:
    """Whether the files of a version still exist."""
    with answering(client.uri):
        return bool(mlflow.artifacts.list_artifacts(artifact_uri=version.source, tracking_uri=client.uri))


def _holder(client: Client, name: str, alias: str) -> Any:
    """The version with an alias; None if it is unset."""
    version = client.get_registered_model(name).aliases.get(alias)
    return None if version is None else client.get_model_version(name, version)
