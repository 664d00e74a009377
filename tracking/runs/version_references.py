"""References from runs and registered models to dataset versions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mlflow.entities import ViewType

from millstream.tracking.dataset.manifest import Manifest
from millstream.tracking.runs.mlflow_store import Client, open_store
from millstream.tracking.runs.store_errors import StoreError
from millstream.tracking.settings import Settings

PAGE = 1000


@dataclass(frozen=True)
class Uses:
    """References by version name (a tag of a run or model), or by split digest (an input of a run)."""

    by_version: dict[str, list[str]]
    by_digest: dict[str, list[str]]

    def of(self, manifest: Manifest) -> tuple[str, ...]:
        digests = [split.digest for split in manifest.splits.values()]
        named = [
            *self.by_version.get(manifest.version, ()),
            *(by for digest in digests for by in self.by_digest.get(digest, ())),
        ]
        return tuple(dict.fromkeys(named))


def uses(settings: Settings) -> Uses:
    """All references in the tracking store. Raises BadEnvironment if it cannot be read completely."""
    client = open_store(settings)
    references = Uses(defaultdict(list), defaultdict(list))
    try:
        for run in _runs(client):
            by = f"run {run.info.run_id}"
            if version := run.data.tags.get("dataset_version"):
                references.by_version[version].append(by)
            for given in run.inputs.dataset_inputs if run.inputs else ():
                references.by_digest[given.dataset.digest].append(by)
        for model in _pages(client.search_model_versions):
            if version := model.tags.get("dataset_version"):
                references.by_version[version].append(f"model {model.name}/{model.version}")
    except StoreError as error:
        (fault,) = error.faults
        raise StoreError.at(fault.where, f"cannot say which versions are in use: {fault.message}") from error
    return references


def _runs(client: Client) -> Iterator[Any]:
    """All runs, including deleted ones: they can be restored, and their models still exist."""
    everything = ViewType.ALL
    found = _pages(lambda **page: client.search_experiments(view_type=everything, **page))
    experiments = [one.experiment_id for one in found]
    if experiments:
        yield from _pages(lambda **page: client.search_runs(experiments, run_view_type=everything, **page))


def _pages(search: Any) -> Iterator[Any]:
    token = None
    while True:
        page = search(max_results=PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return
