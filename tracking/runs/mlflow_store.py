"""Opens the tracking store: a SQLite file under home, or the server in `MLFLOW_TRACKING_URI`."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import wraps
from pathlib import Path
from typing import Any

# MLflow reads these on import
for _name, _value in {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    # otherwise a client would wait for an hour if the server requests it
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
    "MLFLOW_TRUNCATE_LONG_VALUES": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}.items():
    os.environ.setdefault(_name, _value)

import mlflow  # noqa: E402
from mlflow import MlflowClient  # noqa: E402
from mlflow.entities import LifecycleStage  # noqa: E402
from mlflow.utils.credentials import get_default_host_creds  # noqa: E402
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE  # noqa: E402
from mlflow.utils.rest_utils import http_request  # noqa: E402

from millstream.tracking.errors import BadEnvironment, WrongRecipe  # noqa: E402
from millstream.tracking.host.file_lock import alone  # noqa: E402
from millstream.tracking.runs import artifact_paths  # noqa: E402
from millstream.tracking.runs.store_errors import StoreError, answering, shown  # noqa: E402
from millstream.tracking.settings import LOOPBACK, Settings, sqlite_file  # noqa: E402

LOCK = ".tracking.lock"
KIND, TRAINED = "mlflow.experimentKind", "custom_model_development"
"""Tag of an experiment, without which MLflow shows its runs among evaluations of generative AI."""
UI_STORE = "MLFLOW_BACKEND_STORE_URI"


class Client:
    """MLflow client whose calls return a result or raise StoreError."""

    def __init__(self, client: MlflowClient, uri: str) -> None:
        self._client = client
        self.uri = uri

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self._client, name)

        @wraps(call)
        def answered(*values: Any, **more: Any) -> Any:
            with answering(self.uri):
                return call(*values, **more)

        return answered


def open_store(settings: Settings, timeout_s: float = 10.0) -> Client:
    """A client of a responding store. Raises BadEnvironment if it cannot be created, opened or reached."""
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # it also logs tracebacks of the errors it raises
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    uri = settings.tracking_uri
    if uri.startswith(("http://", "https://")):
        with answering(uri):
            _probe(uri, timeout_s)
    elif uri.startswith("file:") or "://" not in uri:
        raise WrongRecipe.at(
            "MLFLOW_TRACKING_URI", f"{shown(uri)}: MLflow keeps no runs in files any more; use sqlite:///FILE"
        )
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    file = sqlite_file(uri)
    artifact_paths.use_present_places()
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
    # opening a fresh SQLite file creates its tables; two concurrent processes would both try
    with alone(settings.home / LOCK), answering(uri):
        with _made_whole(file) if file is not None else nullcontext():
            client = MlflowClient(tracking_uri=uri, registry_uri=uri)
            client.search_experiments(max_results=1)
        if file is not None:
            artifact_paths.correct(file)
    return Client(client, uri)


@contextmanager
def _made_whole(file: Path) -> Iterator[None]:
    """Context in which one process opens a SQLite file and creates it if needed.

    A kill or a full disk leaves a partial schema, which MLflow neither opens nor completes. So a marker file exists
    until the schema is complete, and a database with the marker is recreated.
    """
    mark, journal = file.with_name(f".{file.name}.making"), file.with_name(f"{file.name}-journal")
    if mark.exists():
        journal.unlink(missing_ok=True)
        file.write_bytes(b"")  # truncate, not replace: MLflow keeps broken files open
    if not file.exists():
        mark.touch()
        file.touch()  # SQLite would ignore the umask and create a file that only the owner can write
    yield
    mark.unlink(missing_ok=True)


def experiment(client: Client, settings: Settings, name: str, about: str = "") -> str:
    """ID of an experiment, created if needed, with `about` as its description; a SQLite store has its artifacts next to
    it."""
    with alone(settings.home / LOCK):
        existing = client.get_experiment_by_name(name)
        if existing is not None and existing.lifecycle_stage == LifecycleStage.DELETED:
            words = f"mlflow experiments restore --experiment-id {existing.experiment_id}"
            message = f"experiment {name!r} was deleted and lies in the trash; `{words}` restores it, `mlflow gc"
            message += f" --experiment-ids {existing.experiment_id}` removes it for good, or rename the recipe's file"
            raise BadEnvironment.at(shown(client.uri), message)
        if existing is not None:
            if KIND not in existing.tags:
                with suppress(StoreError):  # it decides how MLflow shows the runs, and nothing else
                    client.set_experiment_tag(existing.experiment_id, KIND, TRAINED)
            return str(existing.experiment_id)
        file = sqlite_file(settings.tracking_uri)
        place = artifact_paths.location(file, name).as_uri() if file else None
        tags = {KIND: TRAINED} | ({MLFLOW_RUN_NOTE: about} if about else {})
        return str(client.create_experiment(name, artifact_location=place, tags=tags))


def ui(host: str = LOOPBACK, port: int = 5000) -> list[str]:
    """Command line that serves MLflow's UI, on loopback by default.

    The store is passed as `UI_STORE` in the environment, since a command line is visible to all users.
    """
    return [sys.executable, "-m", "mlflow", "ui", "--host", host, "--port", str(port)]


def _probe(uri: str, timeout_s: float) -> None:
    """Raises if the server does not respond, through MLflow's own HTTP stack (certificates, proxies, credentials).

    Errors in a response are left to the first call.
    """
    http_request(get_default_host_creds(uri), "/health", "GET", max_retries=0, timeout=timeout_s, raise_on_status=False)
