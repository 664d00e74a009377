"""Leaderboard of models on one dataset version, ranked by a metric, with confidence intervals and tests."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from pydantic import BaseModel

from millstream.tracking.comparison.finished_runs import Finished
from millstream.tracking.comparison.significance import (
    Floats,
    Outcomes,
    difference,
    holm,
    mcnemar,
    middle,
    resampled,
    statistic,
)
from millstream.tracking.errors import WrongRecipe
from millstream.tracking.figures.leaderboard import leaderboard as figure
from millstream.tracking.recipe.plugins import suggest
from millstream.tracking.recipe.schema import Direction
from millstream.tracking.runs.mlflow_store import experiment, open_store
from millstream.tracking.seeds import key
from millstream.tracking.settings import Settings

EXPERIMENT = "compare"


@dataclass(frozen=True)
class Measured:
    """A finished run whose model was evaluated again."""

    run: Finished
    metrics: Mapping[str, float]
    """By name without `test/`."""
    outcomes: Outcomes
    """Per test row, in the same order for all models of a dataset version."""
    directions: Mapping[str, Direction]
    """Direction of improvement of each metric, as and in the order in which the task declares them."""
    rows: int
    score_seconds: float
    """Seconds per row."""


class Against(BaseModel, frozen=True):
    """Paired test of the best model against another on the same rows; `difference` is best minus other."""

    test: str
    difference: float
    low: float
    high: float
    p: float
    p_adjusted: float


class Placed(BaseModel, frozen=True):
    """A row of the leaderboard."""

    place: int
    recipe: str
    metric: str
    value: float
    low: float | None
    high: float | None
    against_best: Against | None
    metrics: dict[str, float]
    rows: int
    train_seconds: float | None
    score_seconds: float
    dataset: str
    version: str
    budget: str
    run_id: str
    model_uri: str
    leaderboard: str = ""
    """ID of the run that holds table and figure."""


def chosen(measured: Sequence[Measured], metric: str | None) -> str:
    """The ranking metric, without `test/`; by default the first that the task declares and all models have.

    Raises WrongRecipe if not all models have the requested one.
    """
    shared = set.intersection(*(set(model.metrics) for model in measured))
    if metric is not None:
        name = metric.removeprefix("test/")
        if name not in shared:
            raise WrongRecipe.at(f"--metric {metric}", f"not measured for all of them; {suggest(name, shared)}")
        return name
    return next(name for name in measured[0].directions if name in shared)


def placed(measured: Sequence[Measured], metric: str) -> list[Placed]:
    """Leaderboard rows from best to worst, NaN last; each model but the first is tested against the first.

    Resampling is seeded by the dataset version and the metric. p is by McNemar's test for accuracy and by a paired
    bootstrap over rows for other metrics; `p_adjusted` is corrected for multiple comparisons (Holm).
    """
    sign = -1 if measured[0].directions[metric] == "min" else 1
    ranked = sorted(measured, key=partial(_rank, metric, sign))
    statistics = [statistic(metric, model.outcomes) for model in ranked]
    known = [model for model in statistics if model is not None]
    if len(known) < len(statistics):
        return [_row(at, model, metric) for at, model in enumerate(ranked, 1)]
    seed = key("compare", ranked[0].run.version, metric)
    draws_RM = resampled(known, ranked[0].rows, seed)
    tests = [_against(ranked[0], model, metric, draws_RM[:, [0, at]]) for at, model in enumerate(ranked[1:], 1)]
    adjusted = holm([model.p for model in tests])
    against = [None, *(model.model_copy(update={"p_adjusted": p}) for model, p in zip(tests, adjusted, strict=True))]
    return [_row(at + 1, model, metric, middle(draws_RM[:, at]), against[at]) for at, model in enumerate(ranked)]


def _rank(metric: str, sign: int, model: Measured) -> tuple[bool, float, str]:
    value = model.metrics[metric]
    # NaN would break the sort order
    return math.isnan(value), 0.0 if math.isnan(value) else -sign * value, model.run.recipe


def log(rows: Sequence[Placed], settings: Settings) -> list[Placed]:
    """The rows with the ID of the run in experiment `compare` to which table and figure were logged."""
    client = open_store(settings)
    first = rows[0]
    tags = {"dataset": first.dataset, "dataset_version": first.version, "metric": first.metric}
    tags["mlflow.runName"] = f"{first.dataset} by {first.metric}"
    run_id = client.create_run(experiment(client, settings, EXPERIMENT), tags=tags).info.run_id
    client.log_figure(run_id, figure(rows), "figures/leaderboard.png")
    client.log_text(run_id, table(rows), "leaderboard.csv")
    client.set_terminated(run_id)
    return [row.model_copy(update={"leaderboard": run_id}) for row in rows]


def table(rows: Sequence[Placed]) -> str:
    """The rows as CSV, with metrics and test results."""
    flat = []
    for row in rows:
        fields = row.model_dump(exclude={"metrics", "against_best", "leaderboard"})
        against = row.against_best.model_dump() if row.against_best else {}
        flat.append(fields | row.metrics | {f"best_{name}": value for name, value in against.items()})
    names = dict.fromkeys(name for row in flat for name in row)
    out = io.StringIO()
    writer = csv.DictWriter(out, list(names), restval="")
    writer.writeheader()
    writer.writerows(flat)
    return out.getvalue()


def _against(best: Measured, other: Measured, metric: str, draws_R2: Floats) -> Against:
    found = difference(best.metrics[metric] - other.metrics[metric], draws_R2[:, 0], draws_R2[:, 1])
    test = "bootstrap"
    if metric == "accuracy":
        test, found = "mcnemar", replace(found, p=mcnemar(best.outcomes["correct"], other.outcomes["correct"]))
    return Against(test=test, difference=found.found, low=found.low, high=found.high, p=found.p, p_adjusted=found.p)


def _row(
    place: int,
    model: Measured,
    metric: str,
    between: tuple[float | None, float | None] = (None, None),
    against: Against | None = None,
) -> Placed:
    return Placed(
        place=place,
        recipe=model.run.recipe,
        metric=metric,
        value=model.metrics[metric],
        low=between[0],
        high=between[1],
        against_best=against,
        metrics={f"test/{name}": value for name, value in model.metrics.items()},
        rows=model.rows,
        train_seconds=model.run.train_seconds,
        score_seconds=model.score_seconds,
        dataset=model.run.dataset,
        version=model.run.version,
        budget=model.run.budget,
        run_id=model.run.run_id,
        model_uri=model.run.model_uri,
    )
