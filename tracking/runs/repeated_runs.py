"""Aggregates runs of one recipe that differ in one field: published folds, say."""

from __future__ import annotations

import hashlib
import shlex
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from millstream.tracking.recipe.schema import Located, missed
from millstream.tracking.runs.run import Run
from millstream.tracking.runs.run_page import MOST_METRICS, escaped, table

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
    parent.note(page(located, [trained.metrics for _, trained in done], metrics))
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


def page(located: Located, each: Sequence[Mapping[str, float]], means: Mapping[str, float]) -> str:
    """Markdown description: the means against the pass marks, and the metrics of each run."""
    repeat, marks = located.recipe.repeat, located.recipe.marks
    assert repeat is not None
    failed = missed(marks, means)
    lines = [
        f"- {escaped(name)} {means[name]:.5g} ± {means[name + DEVIATION]:.2g}, pass mark {escaped(mark)}: "
        f"**{'missed' if name in failed else 'reached'}**"
        for name, mark in marks.items()
        if name in means
    ]
    head = f"**{escaped(located.name)}**, budget {located.budget}: {escaped(located.recipe.about)}"
    names = [name for name in means if name.startswith("test/") and not name.endswith(DEVIATION)][:MOST_METRICS]
    rows = [
        [str(value), *(f"{metrics[name]:.5g}" for name in names)]
        for value, metrics in zip(repeat.values, each, strict=True)
    ]
    rows.append(["mean", *(f"{means[name]:.5g}" for name in names)])
    deviations = [statistics.pstdev(metrics[name] for metrics in each) for name in names]
    rows.append(["standard deviation", *(f"{one:.2g}" for one in deviations)])
    command = shlex.join(["millstream", "run", *located.words])
    again = f"Means and population standard deviations of {len(each)} runs. To repeat it:\n\n    {command}"
    parts = [head, "\n".join(lines), table([repeat.field, *names], rows), again]
    return "\n\n".join(part for part in parts if part)
