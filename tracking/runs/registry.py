"""Registered models of a recipe: the newest is `candidate`, and the best that qualifies `champion`."""

from __future__ import annotations

from pathlib import Path

from millstream.tracking.runs.aliases import CANDIDATE, holder
from millstream.tracking.runs.champion import Entry
from millstream.tracking.runs.mlflow_store import Client
from millstream.tracking.runs.promotion import LONGEST_ABOUT, Measure, decide_once
from millstream.tracking.runs.store_errors import EXISTS, StoreError, shown
from millstream.tracking.settings import sqlite_file


def log_model(client: Client, run_id: str, folder: Path, entry: Entry | None, measure: Measure | None = None) -> str:
    """Log the folder of an MLflow model with a run, and register it if there is an `entry`; returns its URI.

    Registered models never change: a run that is resumed later keeps its model.
    """
    if entry is None or _registered(client, run_id, entry) is None:
        client.log_artifacts(run_id, str(folder), "model")
        if sqlite_file(client.uri) is None:  # beside a SQLite file, the operating system has copied them
            _check_arrived(client, run_id, folder, "model")
    return f"models:/{entry.name}/{register(client, run_id, entry, measure)}" if entry else f"runs:/{run_id}/model"


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


def register(client: Client, run_id: str, entry: Entry, measure: Measure | None = None) -> str:
    """Register the model logged with a run, and set its aliases; returns its version.

    It becomes `candidate` unless a newer one is, and `champion` by the rule of `champion.decide`. Registering again
    returns the same version. Raises as `promotion.decide_once` does, after the version was registered.
    """
    try:
        client.create_registered_model(entry.name, description=entry.about[:LONGEST_ABOUT])
    except StoreError as error:
        if error.code != EXISTS:
            raise
    version = _version(client, run_id, entry)
    candidate = holder(client, entry.name, CANDIDATE)
    if candidate is None or int(candidate) < int(version):
        client.set_registered_model_alias(entry.name, CANDIDATE, version)
    decide_once(client, entry, version, measure)
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
