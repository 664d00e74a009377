"""Finished runs whose models can be compared: the newest of each recipe, or the run of a registered model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from millstream.tracking.errors import BadData, Fault, WrongRecipe
from millstream.tracking.runs.aliases import version_at
from millstream.tracking.runs.mlflow_store import Client, open_store
from millstream.tracking.runs.store_errors import StoreError
from millstream.tracking.settings import Settings

PARENT = "mlflow.parentRunId"


@dataclass(frozen=True)
class Finished:
    """A finished run that trained a model on a dataset version."""

    recipe: str
    """Name of the recipe, or the URI of the registered model that was requested."""
    run_id: str
    dataset: str
    version: str
    task: str
    budget: str
    train_seconds: float | None
    """Of the last process of the run; None for runs from before this was logged."""

    @property
    def model_uri(self) -> str:
        return f"runs:/{self.run_id}/model"

    @property
    def beside(self) -> tuple[str, str]:
        """What two runs must share to be compared: dataset version and task."""
        return self.version, self.task


def newest(settings: Settings, recipes: Sequence[str], budget: str | None = None) -> list[Finished]:
    """The newest finished run per recipe, skipping folds and trials; without `recipes`, of each in the store."""
    client = open_store(settings)
    experiments = client.search_experiments()
    wanted = [one for one in experiments if not recipes or one.name in recipes]
    runs = [_newest(client, one.experiment_id, budget) for one in wanted]
    return [one for one in runs if one is not None]


def of_model(uri: str, settings: Settings) -> Finished:
    """The run of a registered model, `models:/NAME/VERSION` or `models:/NAME@ALIAS`.

    Raises BadData if there is no such model, WrongRecipe if it was not trained on a dataset.
    """
    client = open_store(settings)
    run_id = str(version_at(client, uri).run_id)
    try:
        run = client.get_run(run_id)
    except StoreError as error:
        if not error.has_looked:
            raise
        raise BadData.at(uri, f"its run {run_id} was deleted ({error.faults[0].message})") from error
    if not run.data.tags.get("dataset_version"):
        raise WrongRecipe.at(uri, "was trained in an environment: there are no rows to compare on")
    return replace(parsed(run), recipe=uri)


def together(runs: Iterable[Finished]) -> list[list[Finished]]:
    """Groups of at least two runs with the same dataset version and task."""
    groups = defaultdict(list)
    for run in runs:
        groups[run.beside].append(run)
    return [group for group in groups.values() if len(group) > 1]


def check_together(runs: Sequence[Finished], recipes: Sequence[str], budget: str | None) -> None:
    """Raises WrongRecipe if one of `recipes` has no finished run, or dataset versions or tasks differ."""
    had = {run.recipe for run in runs}
    what = f"a finished run of budget {budget}" if budget else "a finished run"
    message = f"has no model from {what} on a dataset; `millstream run` makes one, or compare with --train"
    WrongRecipe.unless_empty(Fault(where=f"recipe {name}", message=message) for name in recipes if name not in had)
    for common, values in (
        ("dataset version", {run.recipe: f"{run.dataset}/{run.version}" for run in runs}),
        ("task", {run.recipe: run.task for run in runs}),
    ):
        if len(set(values.values())) > 1:
            listed = "; ".join(f"{recipe} has {value}" for recipe, value in values.items())
            raise WrongRecipe.at("compare", f"what is compared must be of one {common}: {listed}")


def _newest(client: Client, experiment: str, budget: str | None) -> Finished | None:
    only = f" and tags.budget = '{budget}'" if budget else ""
    where = f"attributes.status = 'FINISHED' and tags.identity != '' and tags.dataset_version != ''{only}"
    token = None
    while True:
        page = client.search_runs([experiment], where, order_by=["attributes.start_time DESC"], page_token=token)
        for run in page:
            if PARENT not in run.data.tags:
                return parsed(run)
        token = page.token
        if not token:
            return None


def parsed(run: Any) -> Finished:
    """The run as `Finished`, read from the tags of an ended MLflow run."""
    tags, seconds = run.data.tags, run.data.tags.get("train_seconds")
    return Finished(
        recipe=tags["recipe"],
        run_id=str(run.info.run_id),
        dataset=tags["dataset"],
        version=tags["dataset_version"],
        task=run.data.params.get("task.name", ""),
        budget=tags.get("budget", ""),
        train_seconds=float(seconds) if seconds else None,
    )
