"""Dataset version as the logged input of a run, shown in MLflow's UI."""

from __future__ import annotations

import json
import time

from mlflow.entities import Dataset, DatasetInput, InputTag
from pydantic import BaseModel

from millstream.tracking.dataset.filesystems import Place, Remote
from millstream.tracking.dataset.manifest import Manifest
from millstream.tracking.dataset.records import Column
from millstream.tracking.runs.mlflow_store import Client
from millstream.tracking.runs.store_errors import StoreError

ATTEMPTS = 3
LONGEST_SCHEMA = 1_000_000
"""Maximum characters of a dataset's schema in MLflow, and in one request through most proxies."""


class Input(BaseModel, frozen=True):
    """Plain values, which can be spooled until the store is available."""

    name: str
    digest: str
    source_type: str
    source: str
    columns: str
    profile: str

    @classmethod
    def of(cls, manifest: Manifest, folder: Place) -> Input:
        """Input with the digest of the train split's content, since MLflow's own digests collide."""
        columns = json.dumps({"mlflow_colspec": [{"name": one.name, "type": _kind(one)} for one in manifest.columns]})
        if len(columns) > LONGEST_SCHEMA:
            summary = {"name": f"{len(manifest.columns)} columns", "type": "listed in manifest.json"}
            columns = json.dumps({"mlflow_colspec": [summary]})
        return cls(
            name=manifest.name,
            digest=manifest.splits["train"].digest,
            source_type=folder.scheme if isinstance(folder, Remote) else "local",
            source=json.dumps({"uri": str(folder)}),
            columns=columns,
            profile=json.dumps({split: facts.rows for split, facts in manifest.splits.items()}),
        )


def _kind(column: Column) -> str:
    """What MLflow shows as the type of a column: its dtype, its shape if it has one, and its role if it is no input."""
    shape = f" {column.shape}" if column.layout == "tensor" else ""
    kind = f"list of {column.dtype}" if column.layout == "list" else f"{column.dtype}{shape}"
    return kind if column.role == "input" else f"{kind}, {column.role}"


def log_input(client: Client, run_id: str, given: Input) -> None:
    """Log the dataset as the run's input, with retries: MLflow's check-then-insert is racy and refuses one of two
    concurrent runs; the retry finds the other's entry."""
    dataset = Dataset(given.name, given.digest, given.source_type, given.source, given.columns, given.profile)
    for attempt in reversed(range(ATTEMPTS)):
        try:
            client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])
            return
        except StoreError as error:
            if not attempt or error.is_gone:
                raise
            time.sleep(0.1)
