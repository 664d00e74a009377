"""The dataset version that a run has as its input, as MLflow shows it beside the run."""

from __future__ import annotations

import json
import time

from mlflow.entities import Dataset, DatasetInput, InputTag
from pydantic import BaseModel

from millstream.tracking.dataset.filesystems import Place, Remote
from millstream.tracking.dataset.manifest import Manifest
from millstream.tracking.runs.mlflow_store import Client
from millstream.tracking.runs.store_errors import StoreError

ATTEMPTS = 3
LONGEST_SCHEMA = 1_000_000
"""Letters that MLflow takes of a dataset's columns, and most proxies in one request."""


class Input(BaseModel, frozen=True):
    """Plain values, which can wait in a spool for the store."""

    name: str
    digest: str
    source_type: str
    source: str
    columns: str
    profile: str

    @classmethod
    def of(cls, manifest: Manifest, folder: Place) -> Input:
        """With our digest, since MLflow's own collide: it names the content of the train split."""
        columns = json.dumps({"columns": [column.name for column in manifest.columns]})
        if len(columns) > LONGEST_SCHEMA:  # manifest.json has them all
            columns = json.dumps({"columns": f"{len(manifest.columns)}, listed in manifest.json"})
        return cls(
            name=manifest.name,
            digest=manifest.splits["train"].digest,
            source_type=folder.scheme if isinstance(folder, Remote) else "local",
            source=json.dumps({"uri": str(folder)}),
            columns=columns,
            profile=json.dumps({split: facts.rows for split, facts in manifest.splits.items()}),
        )


def log_input(client: Client, run_id: str, given: Input) -> None:
    """MLflow looks whether it knows a dataset and then adds it: of two runs that do so at once it refuses one, which
    finds the other's entry when it asks again."""
    dataset = Dataset(given.name, given.digest, given.source_type, given.source, given.columns, given.profile)
    for attempt in reversed(range(ATTEMPTS)):
        try:
            client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])
            return
        except StoreError as error:
            if not attempt or error.is_gone:
                raise
            time.sleep(0.1)
