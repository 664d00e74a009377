"""Nested runs of a study or a search: each training is run once and resumed after an interruption."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from millstream.experiments.check_recipe import published
from millstream.experiments.run_recipe import once
from millstream.tracking.comparison.finished_runs import PARENT
from millstream.tracking.errors import BadData, TrainingFailed, WrongRecipe
from millstream.tracking.recipe.schema import Located
from millstream.tracking.runs import artifact_paths, run_lock
from millstream.tracking.runs.mlflow_store import experiment, open_store
from millstream.tracking.runs.run import Run
from millstream.tracking.settings import Settings
from millstream.training.loop.resume import facts, identity

Say = Callable[[str], None]
REPORTED = ("test/", "valid/", "network/")


@dataclass(frozen=True)
class Options:
    """Configuration of the nested trainings."""

    settings: Settings
    master: str | None = None
    """Spark master for their preparation."""
    fresh: bool = False
    """Whether interrupted trainings are run again, not resumed."""
    test: bool = True
    """Whether they are evaluated on the test split."""


class Row(BaseModel, frozen=True):
    """One training and the values varied in it."""

    values: dict[str, Any]
    metrics: dict[str, float]
    run_id: str
    seconds: float | None
    failed: str | None = None
    """Why the training failed; the others continue."""


def parent(
    kind: str, base: Located, settings: Settings, *, more: Mapping[str, Any], fresh: bool, again: str, say: Say
) -> Run:
    """The newest run of this kind (`study`, `search`) with the same recipe and code, resumed; or a new one.

    `more` are further facts that must be equal, `again` the command to resume it with, printed when it is stopped.
    """
    client = open_store(settings)
    within = experiment(client, settings, base.name)
    run_lock.reap(client, settings, [within])
    same = hashlib.sha256(json.dumps({**facts(base, None), **more}, sort_keys=True).encode()).hexdigest()
    runs = client.search_runs(
        [within], f"tags.{kind} = '{same}'", order_by=["attributes.start_time DESC"], max_results=1
    )
    if runs and not fresh:
        say(f"run {runs[0].info.run_id} of the {kind} is resumed; --fresh starts again")
        if run_lock.may_run_elsewhere(settings, runs[0]):
            say(f"its last process, on host {runs[0].data.tags['hosts']}, is not known to have ended")
        run = Run.resume(settings, base, runs[0].info.run_id)
    else:
        run = Run.start(settings, base)
        run.tag(**{kind: same})
        say(f"run {run.id}")
    run.go_on = again
    return run


def finished(parent: Run, recipe: Located, values: Mapping[str, Any], options: Options) -> Row | None:
    """The row of a training that finished inside `parent` on the current dataset version; None if there is none."""
    try:
        dataset = published(recipe, options.settings) if recipe.recipe.data is not None else None
    except (WrongRecipe, BadData):
        return None  # its run will report it
    if dataset is None and recipe.recipe.data is not None:
        return None
    inside = f"tags.identity = '{identity(recipe, dataset)}' and tags.`{PARENT}` = '{parent.id}'"
    within = [parent.client.get_run(parent.id).info.experiment_id]
    ended = parent.client.search_runs(within, f"{inside} and attributes.status = 'FINISHED'", max_results=1)
    if not ended:
        return None
    (run,) = ended
    seconds = run.data.tags.get("train_seconds")
    return Row(
        values=dict(values),
        metrics=_reported(run.data.metrics),
        run_id=run.info.run_id,
        seconds=float(seconds) if seconds else None,
    )


def run(parent: Run, recipe: Located, values: Mapping[str, Any], options: Options) -> Row:
    """Trains; an error of recipe, data or training becomes a failed row, an error of the environment is raised."""
    try:
        _, trained = once(
            recipe,
            options.settings,
            parent=parent.id,
            master=options.master,
            devices=1,
            nodes=1,
            fresh=options.fresh,
            register=False,
            test=options.test,
        )
    except (WrongRecipe, BadData, TrainingFailed) as error:
        return failed(values, str(error))
    return Row(values=dict(values), metrics=_reported(trained.metrics), run_id=trained.run_id, seconds=trained.seconds)


def failed(values: Mapping[str, Any], why: str) -> Row:
    """The row of a failed training."""
    return Row(values=dict(values), metrics={}, run_id="", seconds=None, failed=why)


def table(rows: Iterable[Row], first: Iterable[str]) -> str:
    """CSV with one line per training, starting with the columns `first`."""
    flat: list[dict[str, Any]] = []
    for row in rows:
        end = {"seconds": row.seconds, "failed": row.failed, "run_id": row.run_id}
        flat.append({**row.values, **row.metrics, **end})
    names = dict.fromkeys([*first, *(name for row in flat for name in row)])
    out = io.StringIO()
    writer = csv.DictWriter(out, list(names), restval="")
    writer.writeheader()
    writer.writerows(flat)
    return out.getvalue()


def folder(parent: Run) -> str:
    """Location of a run's artifacts: a folder, or a URI of the tracking store."""
    uri = str(parent.client.get_run(parent.id).info.artifact_uri)
    return artifact_paths.folder_of(uri, parent.settings.tracking_uri)


def _reported(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if name.startswith(REPORTED)}
