"""Runs every combination of a study as nested runs of one parent, and reports the results."""

from __future__ import annotations

import shlex
import tempfile
import time
from dataclasses import replace
from typing import Any

import numpy as np
from mlflow import MlflowClient
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel

from millstream.experiments import compare, nested_runs
from millstream.experiments.nested_runs import Options, Row, Say
from millstream.tracking.comparison import finished_runs, leaderboard
from millstream.tracking.comparison.leaderboard import Placed
from millstream.tracking.errors import WrongRecipe
from millstream.tracking.figures.leaderboard import leaderboard as leaderboard_figure
from millstream.tracking.figures.stacked import stacked
from millstream.tracking.figures.study import study as figure
from millstream.tracking.recipe.study import LocatedStudy, Study
from millstream.tracking.settings import Settings
from millstream.training.loop.evaluate import evaluate


class Studied(BaseModel, frozen=True):
    run_id: str
    rows: list[Row]
    figure: str
    """Location of the figure: a file, or a URI of the tracking store."""
    table: str
    metrics: tuple[str, ...]
    ranked: list[Placed] = []
    """Leaderboard of the models, if the study requests it."""


def run_study(located: LocatedStudy, options: Options, *, say: Say) -> Studied:
    """Runs the unfinished combinations one after the other; then logs table and figure.

    A study of the same recipe and code resumes its run: finished combinations are kept, interrupted ones resume from
    their checkpoints, added ones are run. Raises as training does, except for failed trainings, which are rows.
    """
    WrongRecipe.unless_empty(located.faults)
    study = _checked(located)
    again = shlex.join(["millstream", "study", *located.base.words])
    settings = options.settings
    resuming: dict[str, Any] = {"fresh": options.fresh, "again": again, "say": say}
    with nested_runs.parent("study", located.base, settings, more={}, **resuming) as parent:
        rows, began, ran = [], time.monotonic(), 0
        for at, (values, recipe) in enumerate(located.combinations, 1):
            combination = ", ".join(f"{axis} {label}" for axis, label in values.items())
            row = nested_runs.finished(parent, recipe, values, options)
            if row is None:
                left = (time.monotonic() - began) / ran * (len(located.combinations) - at + 1) if ran else None
                say(
                    f"{at} of {len(located.combinations)}: {combination}"
                    + (f"; about {left:.0f} s to go" if left else "")
                )
                row, ran = nested_runs.run(parent, recipe, values, options), ran + 1
            row = _with_train_split(row, settings) if study.train_split and not row.failed else row
            rows.append(row)
            say(f"{combination}: {_summary(row, study)}")
        parent.figure("study", _figure(study, rows, parent.client))
        if study.pictures and (figures := _figures_named(study.pictures, rows, parent.client)):
            parent.figure("pictures", stacked(figures))
        parent.text("study.csv", nested_runs.table(rows, [*study.vary, *study.metrics]))
        board = _ranked(study.ranked, rows, parent.client, settings, say) if study.ranked else []
        if board:
            parent.figure("leaderboard", leaderboard_figure(board))
            parent.text("leaderboard.csv", leaderboard.table(board))
        parent.tag(combinations=str(len(rows)), failed=str(sum(row.failed is not None for row in rows)))
    folder = nested_runs.folder(parent)
    return Studied(
        run_id=parent.id,
        rows=rows,
        figure=f"{folder}/figures/study.png",
        table=f"{folder}/study.csv",
        metrics=study.metrics,
        ranked=board,
    )


def _checked(located: LocatedStudy) -> Study:
    base = located.base.recipe
    if located.study is None or not base.trains or base.repeat is not None:
        raise WrongRecipe.at(located.base.file, "a study varies a recipe that trains, once for each combination")
    return located.study


def _with_train_split(row: Row, settings: Settings) -> Row:
    evaluated = evaluate(f"runs:/{row.run_id}/model", settings, split="train").metrics
    return row.model_copy(update={"metrics": row.metrics | evaluated})


def _summary(row: Row, study: Study) -> str:
    if row.failed:
        return f"failed: {row.failed}"
    return "  ".join(f"{name} {row.metrics[name]:.4g}" for name in study.metrics if name in row.metrics)


def _figure(study: Study, rows: list[Row], client: MlflowClient) -> Any:
    curves = []
    if study.curve:
        for row in rows:
            points = client.get_metric_history(row.run_id, study.curve) if row.run_id else []
            curves.append((row.values, sorted((float(point.step), float(point.value)) for point in points)))
    measured = [(row.values, row.metrics) for row in rows]
    return figure(study.axes, measured, study.metrics, curves, curve=study.curve or "", log=study.log)


def _ranked(metric: str, rows: list[Row], client: MlflowClient, settings: Settings, say: Say) -> list[Placed]:
    """Leaderboard of the trained combinations, named by their labels. Raises WrongRecipe when the data vary, too."""
    runs = [
        replace(finished_runs.parsed(client.get_run(row.run_id)), recipe=", ".join(map(str, row.values.values())))
        for row in rows
        if not row.failed
    ]
    finished_runs.check_together(runs, [], None)
    return compare.ranked(runs, settings, metric=metric, say=say) if runs else []


def _figures_named(name: str, rows: list[Row], client: MlflowClient) -> dict[str, NDArray[Any]]:
    """The figure `name` of each run that logged it, by the label of its combination."""
    figures = {}
    for row in rows:
        path = f"figures/{name}.png"
        if not row.run_id or path not in {artifact.path for artifact in client.list_artifacts(row.run_id, "figures")}:
            continue
        with (
            tempfile.TemporaryDirectory() as folder,
            Image.open(client.download_artifacts(row.run_id, path, folder)) as image,
        ):
            figures[", ".join(f"{axis} {label}" for axis, label in row.values.items())] = np.asarray(image)
    return figures
