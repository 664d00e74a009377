"""Aliases of a registered model: who holds one, and moving it by hand, with the reason on the version."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import mlflow
from mlflow.tracking.context.default_context import DefaultRunContext
from mlflow.utils.mlflow_tags import MLFLOW_USER
from pydantic import BaseModel

from millstream.tracking.errors import BadData, WrongRecipe
from millstream.tracking.recipe import plugins
from millstream.tracking.recipe.store_names import registered_name
from millstream.tracking.runs.mlflow_store import Client, open_store
from millstream.tracking.runs.store_errors import StoreError, answering
from millstream.tracking.settings import Settings

CANDIDATE, CHAMPION = "candidate", "champion"
MODEL = "models:/"
BY_RULE = "the rule"
"""Who moved an alias, if nobody did it by hand."""
_ALIAS = re.compile(r"(?!latest$|v\d+$)[\w-]{1,255}", re.ASCII | re.IGNORECASE)
"""What MLflow accepts as an alias."""


class Promoted(BaseModel, frozen=True):
    model: str
    version: str
    alias: str
    before: str | None
    """The version that held the alias before."""


def promote(uri: str, alias: str, why: str, settings: Settings) -> Promoted:
    """Move an alias to the model version models:/NAME/VERSION (or models:/NAME@ALIAS), with the reason on it.

    Raises BadData for a version that does not exist or has lost its files, WrongRecipe if it holds the alias already,
    or for an alias that cannot be given.
    """
    _check(alias, why)
    client = open_store(settings)
    return _moved(client, version_at(client, uri), alias, why, is_back=False)


def promote_back(model: str, alias: str, why: str, settings: Settings) -> Promoted:
    """Move an alias back to the version that held it before the present one. `model` is a registered model or a recipe.

    Raises BadData if there is no such model, or the version before is gone; WrongRecipe if none is recorded.
    """
    _check(alias, why)
    client, name = open_store(settings), registered_name(model.removeprefix(MODEL).partition("@")[0])
    known = [one.name for one in client.search_registered_models()]
    if name not in known:
        raise BadData.at(model, f"no such model; give the name of one: {plugins.suggest(name, known)}")
    present = holder(client, name, alias)
    before = client.get_model_version(name, present).tags.get(tag(alias, "before")) if present else None
    if not before:
        message = f"no version before {MODEL}{name}/{present} is recorded" if present else "no version holds it"
        raise WrongRecipe.at(f"{name}@{alias}", f"{message}; name one: millstream promote {MODEL}{name}/VERSION")
    return _moved(client, version_at(client, f"{MODEL}{name}/{before}"), alias, why, is_back=True)


def holder(client: Client, name: str, alias: str) -> str | None:
    """The version with an alias; None if it is unset."""
    version = client.get_registered_model(name).aliases.get(alias)
    return None if version is None else str(version)


def version_at(client: Client, uri: str) -> Any:
    """MLflow's entry of models:/NAME/VERSION or models:/NAME@ALIAS. Raises BadData if there is none."""
    address = uri.removeprefix(MODEL)
    try:
        if "@" in address:
            return client.get_model_version_by_alias(*address.rsplit("@", 1))
        name, _, version = address.partition("/")
        return client.get_model_version(name, version)
    except StoreError as error:
        if not error.has_looked:
            raise
        problem = error.faults[0].message
        raise BadData.at(uri, f"no such model ({problem}); give {MODEL}NAME/VERSION or {MODEL}NAME@champion") from error


def user() -> str:
    """The user as whom MLflow records what is done: that of its credentials, else of the machine."""
    return str(DefaultRunContext().tags()[MLFLOW_USER])


def has_files(client: Client, version: Any) -> bool:
    """Whether the files of a version still exist."""
    with answering(client.uri):
        return bool(mlflow.artifacts.list_artifacts(artifact_uri=version.source, tracking_uri=client.uri))


def record(client: Client, name: str, version: str, alias: str, **facts: str) -> None:
    """Write on a version why, by whom, when and in whose place (`before`) it holds an alias."""
    for fact, value in {**facts, "at": datetime.now(UTC).isoformat(timespec="seconds")}.items():
        client.set_model_version_tag(name, version, tag(alias, fact), value)


def tag(alias: str, fact: str) -> str:
    return f"{alias}.{fact}"


def _check(alias: str, why: str) -> None:
    if alias == CANDIDATE:
        raise WrongRecipe.at(f"--to {alias}", "is the newest version, always; take another alias")
    if not _ALIAS.fullmatch(alias):
        raise WrongRecipe.at(f"--to {alias}", "no alias: letters, digits, - and _, and neither latest nor v1, v2 ...")
    if not why.strip():
        raise WrongRecipe.at("--why", "is empty; give the reason, for those who come later")


def _moved(client: Client, version: Any, alias: str, why: str, *, is_back: bool) -> Promoted:
    name, number = str(version.name), str(version.version)
    before = holder(client, name, alias)
    if before == number:
        raise WrongRecipe.at(f"{MODEL}{name}/{number}", f"is {alias} already")
    if not has_files(client, version):
        message = "its files are missing in the store; restore them, or train its recipe again"
        raise BadData.at(f"{MODEL}{name}/{number}", message)
    by = user()
    # going back leaves the version's own history, so that it can be done again
    record(client, name, number, alias, why=why, by=by, **({} if is_back else {"before": before or ""}))
    client.set_registered_model_alias(name, alias, number)
    line = f"{datetime.now(UTC):%Y-%m-%d}: {alias}, by {by}: {why}"
    client.update_model_version(name, number, f"{version.description or ''}\n\n{line}".strip())
    return Promoted(model=name, version=number, alias=alias, before=before)
