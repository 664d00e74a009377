"""Applies the rule of the champion to a registered version, and records the decision on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from millstream.tracking.runs.aliases import BY_RULE, CHAMPION, MODEL, has_files, holder, record, tag
from millstream.tracking.runs.champion import RULE, Champion, Decision, Entry, decide
from millstream.tracking.runs.mlflow_store import Client
from millstream.tracking.runs.store_errors import StoreError, shown

LONGEST_ABOUT = 5000
"""Characters of a model's description that fit every MLflow database."""
DECIDED, WHY, COMPARED = "promotion", "promotion.why", "promotion.compared"
"""Tags of a version: whether the rule made it champion, the reason in words, and the figures as JSON."""

Measure = Callable[[str, str], Mapping[str, float]]
"""Metrics of the registered model at a URI on the test split of the dataset version NAME/VERSION."""


def decide_once(client: Client, entry: Entry, version: str, measure: Measure | None) -> None:
    """Make the champion's decision about a version, unless it was made.

    The decision is recorded before the alias is moved, and `DECIDED` set at the end: after a crash the decision is
    completed, or made again. Raises StoreError if the champion has to be measured and there is no `measure`.
    """
    if DECIDED in client.get_model_version(entry.name, version).tags:
        return
    while True:
        champion = _champion(client, entry.name)
        if champion is not None and champion.version == version:
            break  # the alias was moved before a crash
        decision = decide(entry, champion, _measuring(client, entry, champion, measure))
        if holder(client, entry.name, CHAMPION) == (champion.version if champion else None):
            _apply(client, entry, version, decision)
            break
        # another process has moved the alias while this one measured
    is_champion = holder(client, entry.name, CHAMPION) == version
    client.set_model_version_tag(entry.name, version, DECIDED, CHAMPION if is_champion else f"not {CHAMPION}")


def decision_of(client: Client, uri: str) -> Decision | None:
    """The decision that stands on the version models:/NAME/VERSION; None for a model that is not registered."""
    if not uri.startswith(MODEL):
        return None
    name, _, version = uri.removeprefix(MODEL).partition("/")
    compared = client.get_model_version(name, version).tags.get(COMPARED)
    return Decision.model_validate_json(compared) if compared else None


def _apply(client: Client, entry: Entry, version: str, decision: Decision) -> None:
    head = "Champion" if decision.promoted else "Not champion"
    lineage = f"Trained on the dataset version {entry.version or '(an environment)'} with the budget {entry.budget}."
    about = f"{entry.about}\n\n{lineage}\n\n**{head} when it was registered:** {decision.why}.\n\n{RULE}"
    client.update_model_version(entry.name, version, about[:LONGEST_ABOUT])
    for name, value in {WHY: decision.why, COMPARED: decision.model_dump_json()}.items():
        client.set_model_version_tag(entry.name, version, name, value)
    if decision.promoted:
        record(client, entry.name, version, CHAMPION, why=decision.why, by=BY_RULE, before=decision.champion or "")
        client.set_registered_model_alias(entry.name, CHAMPION, version)


def _measuring(
    client: Client, entry: Entry, champion: Champion | None, measure: Measure | None
) -> Callable[[], Mapping[str, float]]:
    def measured() -> Mapping[str, float]:
        uri = f"{MODEL}{entry.name}/{champion.version if champion else ''}"
        if measure is None:
            message = f"the champion {uri} is still to be measured on {entry.version}"
            raise StoreError.at(shown(client.uri), f"{message}; `millstream doctor --send` does it")
        return measure(uri, entry.version)

    return measured


def _champion(client: Client, name: str) -> Champion | None:
    number = holder(client, name, CHAMPION)
    if number is None:
        return None
    version = client.get_model_version(name, number)
    run = _run(client, version.run_id)
    limit = run.data.params.get("data.source.limit") if run else None
    return Champion(
        version=number,
        dataset_version=version.tags.get("dataset_version", ""),
        budget=run.data.tags.get("budget", "") if run else "",
        limit=int(limit) if limit else None,
        metrics=dict(run.data.metrics) if run else None,
        has_files=has_files(client, version),
        is_chosen=version.tags.get(tag(CHAMPION, "by"), BY_RULE) != BY_RULE,
    )


def _run(client: Client, run_id: str) -> Any:
    """The run of a version; None if it was deleted permanently (`mlflow gc`)."""
    try:
        return client.get_run(run_id)
    except StoreError as error:
        if not error.is_missing:
            raise
        return None
