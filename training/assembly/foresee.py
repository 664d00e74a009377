"""Faults that training would raise for data that are not prepared yet; imports neither MLflow nor Spark."""

from __future__ import annotations

from collections.abc import Sequence

from millstream.tracking.dataset.manifest import SPLITS, Manifest
from millstream.tracking.errors import BadData, Fault, TrainingFailed, WrongRecipe
from millstream.tracking.recipe.schema import Located
from millstream.training.assembly import preconditions
from millstream.training.assembly.build import Parts, parts_of, task_on


def foreseen_faults(located: Located, manifests: Sequence[Manifest], *more: str) -> list[Fault]:
    """Faults that training would raise for data with any of these possible manifests: those common to all of them.

    A manifest without splits is assumed to have all. `more` are requested metrics in addition to the recipe's.
    """
    parts = parts_of(located)
    each = [_unfit(parts, manifest, located, more) for manifest in manifests]
    places = [{fault.where for fault in found} for found in each]
    return [fault for fault in (each[0] if each else []) if all(fault.where in found for found in places)]


def _unfit(parts: Parts, manifest: Manifest, located: Located, more: Sequence[str]) -> list[Fault]:
    try:
        signature = parts.signature(manifest)
    except BadData as unknown:
        return [Fault(where=located.where("task"), message=fault.message) for fault in unknown.faults]
    try:
        task = task_on(parts, signature, located)
    except (WrongRecipe, TrainingFailed) as refused:
        return list(refused.faults)
    of_metrics = preconditions.metric_faults(located, task, parts.fit, frozenset(manifest.splits or SPLITS), more)
    return [*of_metrics, *preconditions.order_faults(located, parts.fit, manifest)]
