"""Runs every combination of a study as nested runs of one parent, and tells what came of them."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from mlflow import MlflowClient
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel

from tracking import alive
from tracking.dataset import Dataset
from tracking.faults import TrainingFailed, WrongRecipe
from tracking.figures.stacked import stacked
from tracking.figures.study import study as figure
from tracking.finished import PARENT
from tracking.recipe import Located
from tracking.run import Run
from tracking.settings import Settings
from tracking.store import experiment, open_store
from tracking.study_file import LocatedStudy, Study
from training.evaluate import evaluate
from training.resume import facts, identity

Say = Callable[[str], None]


@dataclass(frozen=True)
class Hands:
    """What a study needs of the preparation, which training does not know."""

    find: Callable[[Located], Dataset | None]
    """The dataset version of a recipe, if it was prepared before."""
    once: Callable[[Located, str], Any]
    """Prepares and trains a recipe inside the parent run of this id."""


class Row(BaseModel, frozen=True):
    """One combination."""

    values: dict[str, str]
    metrics: dict[str, float]
    run_id: str
    seconds: float | None
    failed: str | None = None
    """Why its training broke; the study goes on."""


class Studied(BaseModel, frozen=True):
    run_id: str
    rows: list[Row]
    figure: str
    """Where the figure lies: a file, or an address in the tracking store."""
    table: str
    metrics: tuple[str, ...]


def run_study(located: LocatedStudy, settings: Settings, hands: Hands, *, fresh: bool, say: Say) -> Studied:
    """The combinations that are not finished yet, one after the other; then table and figure.

    A study of the same recipe and code goes on in its run: what is finished stays, what was stopped goes on from its
    checkpoint, and what was added to the file is run. Raises as a training does, a training that failed left out.
    """
    WrongRecipe.unless_empty(located.faults)
    study = _checked(located)
    with _parent(located.base, settings, fresh=fresh, say=say) as parent:
        parent.go_on = f"millstream study {located.base.name}"
        rows, began, ran = [], time.monotonic(), 0
        for at, (values, recipe) in enumerate(located.combinations, 1):
            told = ", ".join(f"{axis} {label}" for axis, label in values.items())
            row = _finished(parent, recipe, values, hands)
            if row is None:
                left = (time.monotonic() - began) / ran * (len(located.combinations) - at + 1) if ran else None
                say(f"{at} of {len(located.combinations)}: {told}" + (f"; about {left:.0f} s to go" if left else ""))
                row, ran = _run(parent, recipe, values, hands), ran + 1
            row = _with_train_split(row, settings) if study.train_split and not row.failed else row
            rows.append(row)
            say(f"{told}: {_said(row, study)}")
        parent.figure("study", _figure(study, rows, parent.client))
        if study.pictures and (pictures := _pictures(study.pictures, rows, parent.client)):
            parent.figure("pictures", stacked(pictures))
        parent.text("study.csv", _table(rows, study))
        parent.tag(combinations=str(len(rows)), failed=str(sum(row.failed is not None for row in rows)))
    folder = str(parent.client.get_run(parent.id).info.artifact_uri).removeprefix("file://")
    return Studied(
        run_id=parent.id,
        rows=rows,
        figure=f"{folder}/figures/study.png",
        table=f"{folder}/study.csv",
        metrics=study.metrics,
    )


def _checked(located: LocatedStudy) -> Study:
    base = located.base.recipe
    if located.study is None or not base.trains or base.repeat is not None:
        raise WrongRecipe.at(located.base.file, "a study varies a recipe that trains, once for each combination")
    return located.study


def _parent(base: Located, settings: Settings, *, fresh: bool, say: Say) -> Run:
    """The newest run of the study with this recipe and code, opened again, or a new one."""
    client = open_store(settings)
    within = experiment(client, settings, base.name)
    alive.reap(client, [within])
    same = hashlib.sha256(json.dumps(facts(base, None), sort_keys=True).encode()).hexdigest()
    found = client.search_runs(
        [within], f"tags.study = '{same}'", order_by=["attributes.start_time DESC"], max_results=1
    )
    if found and not fresh:
        say(f"run {found[0].info.run_id} of the study goes on; --fresh starts anew")
        return Run.resume(settings, base, found[0].info.run_id)
    run = Run.start(settings, base)
    run.tag(study=same)
    say(f"run {run.id}")
    return run


def _finished(parent: Run, recipe: Located, values: dict[str, str], hands: Hands) -> Row | None:
    """What a combination gave whose run inside `parent` has ended, on the dataset version that it would have now."""
    dataset = hands.find(recipe)
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
        values=values,
        metrics=_told(run.data.metrics),
        run_id=run.info.run_id,
        seconds=float(seconds) if seconds else None,
    )


def _run(parent: Run, recipe: Located, values: dict[str, str], hands: Hands) -> Row:
    try:
        _, trained = hands.once(recipe, parent.id)
    except TrainingFailed as failed:
        return Row(values=values, metrics={}, run_id="", seconds=None, failed=str(failed))
    return Row(values=values, metrics=_told(trained.metrics), run_id=trained.run_id, seconds=trained.seconds)


def _told(metrics: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if name.startswith(("test/", "valid/", "network/"))}


def _with_train_split(row: Row, settings: Settings) -> Row:
    found = evaluate(f"runs:/{row.run_id}/model", settings, split="train").metrics
    return row.model_copy(update={"metrics": row.metrics | found})


def _said(row: Row, study: Study) -> str:
    if row.failed:
        return f"failed: {row.failed}"
    return "  ".join(f"{name} {row.metrics[name]:.4g}" for name in study.metrics if name in row.metrics)


def _figure(study: Study, rows: list[Row], client: MlflowClient) -> Any:
    curves = []
    if study.curve:
        for row in rows:
            points = client.get_metric_history(row.run_id, study.curve) if row.run_id else []
            curves.append((row.values, sorted((float(one.step), float(one.value)) for one in points)))
    told = [(row.values, row.metrics) for row in rows]
    return figure(study.axes, told, study.metrics, curves, curve=study.curve or "", log=study.log)


def _pictures(name: str, rows: list[Row], client: MlflowClient) -> dict[str, NDArray[Any]]:
    """The figure of that name of each run that has drawn it, under the values that were run."""
    found = {}
    for row in rows:
        path = f"figures/{name}.png"
        if not row.run_id or path not in {one.path for one in client.list_artifacts(row.run_id, "figures")}:
            continue
        with (
            tempfile.TemporaryDirectory() as folder,
            Image.open(client.download_artifacts(row.run_id, path, folder)) as picture,
        ):
            found[", ".join(f"{axis} {label}" for axis, label in row.values.items())] = np.asarray(picture)
    return found


def _table(rows: list[Row], study: Study) -> str:
    flat: list[dict[str, Any]] = []
    for row in rows:
        end = {"seconds": row.seconds, "failed": row.failed, "run_id": row.run_id}
        flat.append({**row.values, **row.metrics, **end})
    names = dict.fromkeys([*study.vary, *study.metrics, *(name for row in flat for name in row)])
    out = io.StringIO()
    writer = csv.DictWriter(out, list(names), restval="")
    writer.writeheader()
    writer.writerows(flat)
    return out.getvalue()
