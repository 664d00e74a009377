"""The registered models of a recipe: the newest is `candidate`, the best one of a dataset version `champion`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from pydantic import BaseModel

from tracking.recipe import parse_mark

CANDIDATE, CHAMPION = "candidate", "champion"


class Entry(BaseModel, frozen=True):
    """What is registered of a run's model: plain values, which can wait in a spool for the store."""

    recipe: str
    about: str
    dataset_version: str
    marks: dict[str, str]
    metrics: dict[str, float]

    @property
    def name(self) -> str:
        return registered_name(self.recipe)


def registered_name(recipe: str) -> str:
    """MLflow takes no slash in the name of a registered model."""
    return recipe.replace("/", ".")


def log_model(client: MlflowClient, run_id: str, folder: Path, entry: Entry | None) -> str:
    """Log the folder of an MLflow model with a run, and register it by `entry`, if there is one; its address."""
    client.log_artifacts(run_id, str(folder), "model")
    return f"models:/{entry.name}/{register(client, run_id, entry)}" if entry else f"runs:/{run_id}/model"


def register(client: MlflowClient, run_id: str, entry: Entry) -> str:
    """Register the model that was logged with a run, and set its aliases; its version.

    It becomes `candidate`, unless a newer one is, and `champion` when there is none, or it beats the present one by the
    recipe's first pass mark on the same dataset version. Registered again it stays the version that it was.
    """
    try:
        client.create_registered_model(entry.name, description=entry.about)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    version = _version(client, run_id, entry)
    candidate = _holder(client, entry.name, CANDIDATE)
    if candidate is None or int(candidate.version) < int(version):
        client.set_registered_model_alias(entry.name, CANDIDATE, version)
    if _beats_champion(client, entry):
        client.set_registered_model_alias(entry.name, CHAMPION, version)
    return version


def _version(client: MlflowClient, run_id: str, entry: Entry) -> str:
    """The version of a run's model: that of an earlier try, whose answer may have been lost, or else a new one."""
    source = f"{client.get_run(run_id).info.artifact_uri}/model"
    for found in client.search_model_versions(f"run_id = '{run_id}'"):
        if (found.name, found.source) == (entry.name, source):
            return str(found.version)
    tags = {"recipe": entry.recipe, "dataset_version": entry.dataset_version}
    return str(client.create_model_version(entry.name, source, run_id, tags=tags).version)


def _beats_champion(client: MlflowClient, entry: Entry) -> bool:
    champion = _holder(client, entry.name, CHAMPION)
    if champion is None:
        return True
    if champion.tags.get("dataset_version") != entry.dataset_version or not entry.marks:
        return False
    metric, mark = next(iter(entry.marks.items()))
    better, _ = parse_mark(metric, mark)
    before = client.get_run(champion.run_id).data.metrics.get(metric)
    now = entry.metrics.get(metric)
    if now is None or math.isnan(now):
        return False
    # of two numbers one of which is none nothing is better: such a champion would never be beaten
    return before is None or math.isnan(before) or (better(now, before) and now != before)


def _holder(client: MlflowClient, name: str, alias: str) -> Any:
    try:
        return client.get_model_version_by_alias(name, alias)
    except MlflowException:
        return None  # nobody is
