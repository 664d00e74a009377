"""How a run is described: its params with their defaults, and the description at the top of its page."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from millstream.tracking.recipe.schema import missed
from millstream.tracking.runs.run import Run
from millstream.tracking.runs.run_page import Page
from millstream.tracking.runs.table import Table
from millstream.training.assembly.build import Parts
from millstream.training.loop.baseline import baseline
from millstream.training.loop.job import Job


def params(parts: Parts) -> dict[str, Any]:
    """The sections that were trained with, defaults included; a default that is None is left out."""
    sections = {"task": parts.task_config, "network": parts.network_config, "fit": parts.fit}
    return {name: one.model_dump(mode="json", by_alias=True, exclude_none=True) for name, one in sections.items()}


def page(
    job: Job,
    run: Run,
    metrics: Mapping[str, float],
    model_uri: str,
    *,
    tables: Mapping[str, Table],
    hardest: tuple[str, ...],
    test: bool,
) -> str:
    """Markdown about a finished run; without `test` about its validation."""
    split, located = "test" if test else "valid", job.located
    names = sorted(job.task.measures(split), key=lambda name: name == "loss")
    compared = baseline(job) if test else None
    marks = located.recipe.marks if test else {}
    return Page(
        recipe=located.name,
        about=located.recipe.about,
        budget=located.budget,
        seed=job.fit.seed,
        command=shlex.join(["millstream", "run", *located.words]),
        split=split,
        environment=", ".join(f"{name} {value}" for name, value in located.section("environment").items()),
        metrics={name: metrics[f"{split}/{name}"] for name in names if f"{split}/{name}" in metrics},
        marks=marks,
        missed=tuple(missed(marks, metrics)),
        manifest=job.source.manifest,
        baseline=compared.name if compared else "",
        baseline_metrics=compared.metrics if compared else {},
        model_uri=model_uri,
        decision=run.decision(model_uri),
        classes=tables.get("per_class"),
        hardest=hardest,
    ).markdown()
