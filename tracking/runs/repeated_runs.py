"""Aggregates runs of one recipe that differ in one field: published folds, say."""

from __future__ import annotations

import hashlib
import statistics
from typing import Any

from millstream.tracking.recipe.schema import Located
from millstream.tracking.runs.run import Run

DEVIATION = "_deviation"


def summary(parent: Run, located: Located, done: list[tuple[Any, Any]]) -> dict[str, Any]:
    """Means over the runs, logged in `parent` and compared with the pass marks; those with a mark get a deviation too.

    `done` holds the prepared and trained results of each run. Dataset and model are those of the first run; `weights`
    is the SHA-256 over the runs' weights in order. Deviations are population standard deviations.
    """
    prepared, first = done[0]
    names = set.intersection(*(set(trained.metrics) for _, trained in done))
    metrics = {name: statistics.fmean(trained.metrics[name] for _, trained in done) for name in sorted(names)}
    for name in located.recipe.marks:
        if name in metrics:
            metrics[name + DEVIATION] = statistics.pstdev(trained.metrics[name] for _, trained in done)
    passed = located.recipe.passed(metrics)
    parent.metrics(metrics)
    parent.tag(passed="" if passed is None else str(passed).lower(), dataset_version=str(first.dataset_version))
    weights = hashlib.sha256("".join(trained.weights for _, trained in done).encode()).hexdigest()
    each = {
        "prepare_seconds": round(sum(prepared.seconds for prepared, _ in done if prepared), 3),
        "train_seconds": round(sum(trained.seconds for _, trained in done), 3),
    }
    summary = {
        "run_id": parent.id,
        "metrics": metrics,
        "passed": passed,
        "weights": weights,
        "seconds": round(sum(each.values()), 3),
        **each,
        "runs": len(done),
    }
    result: dict[str, Any] = {**(prepared.model_dump() if prepared else {}), **first.model_dump(), **summary}
    return result
