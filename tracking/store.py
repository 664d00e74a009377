"""Makes the tracking store ready: a SQLite file under home, or the server that `MLFLOW_TRACKING_URI` names."""

from __future__ import annotations

import logging
import os
import re
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

# before mlflow is imported: it reads these then
for _name, _value in {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_TRUNCATE_LONG_VALUES": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}.items():
    os.environ.setdefault(_name, _value)

import mlflow  # noqa: E402
import requests  # noqa: E402
from mlflow import MlflowClient  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402
from requests.exceptions import RetryError, Timeout  # noqa: E402
from sqlalchemy.exc import SQLAlchemyError  # noqa: E402

from tracking.alone import alone  # noqa: E402
from tracking.disk import is_full  # noqa: E402
from tracking.faults import BadEnvironment, WrongRecipe, chain  # noqa: E402
from tracking.settings import LOOPBACK, Settings  # noqa: E402

SQLITE = "sqlite:///"
LOCK = ".tracking.lock"


def open_store(settings: Settings, timeout_s: float = 10.0) -> MlflowClient:
    """A client of a store that answers. Raises BadEnvironment when it cannot be made, opened or reached."""
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # it writes down a trace of what it raises as well
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    uri = settings.tracking_uri
    if uri.startswith(("http://", "https://")):
        _probe(uri, timeout_s)
    elif uri.startswith("file:") or "://" not in uri:
        raise WrongRecipe.at(
            "MLFLOW_TRACKING_URI", f"{shown(uri)}: MLflow keeps no runs in files any more; use sqlite:///FILE"
        )
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    file = Path(uri.removeprefix(SQLITE)) if uri.startswith(SQLITE) else None
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
    with alone(settings.home / LOCK):
        # the first to open a fresh SQLite file writes its tables, and making a client opens it; two at once would both
        # try
        try:
            with _made_whole(file) if file is not None else nullcontext():
                client = MlflowClient(tracking_uri=uri, registry_uri=uri)
                client.search_experiments(max_results=1)
        except (MlflowException, SQLAlchemyError, OSError) as error:
            told = f"the tracking store does not answer ({first_line(error)})"
            if file is not None and is_full(error):
                told += f"; {shutil.disk_usage(file.parent).free} bytes are free: make room, or set MILLSTREAM_HOME"
            raise BadEnvironment.at(shown(uri), told) from error
    return client


@contextmanager
def _made_whole(file: Path) -> Iterator[None]:
    """For who opens a SQLite file, alone, and makes it if need be.

    A kill or a full disk leaves half of the tables, which MLflow neither opens nor completes. So a mark stands beside
    the file until all are there, and a file with the mark is made anew.
    """
    mark, journal = file.with_name(f".{file.name}.making"), file.with_name(f"{file.name}-journal")
    if mark.exists():
        journal.unlink(missing_ok=True)
        file.write_bytes(b"")  # and not another file: MLflow keeps files open that it could not use
    if not file.exists():
        mark.touch()
    yield
    mark.unlink(missing_ok=True)


def experiment(client: MlflowClient, settings: Settings, name: str) -> str:
    """The id of an experiment, made if need be; artifacts of a SQLite store lie beside it."""
    with alone(settings.home / LOCK):
        found = client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        local = settings.tracking_uri.startswith(SQLITE)
        folder = settings.home / "artifacts" / re.sub(r"[^\w-]+", "-", name)
        return str(client.create_experiment(name, artifact_location=folder.as_uri() if local else None))


def shown(uri: str) -> str:
    """An address without its user and password."""
    return re.sub(r"//[^/@]*@", "//***@", uri)


def ui(settings: Settings, host: str = LOOPBACK, port: int = 5000) -> list[str]:
    """The command line that serves MLflow's pages over the store, on loopback unless told otherwise."""
    program = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", settings.tracking_uri]
    return [*program, "--host", host, "--port", str(port)]


def _probe(uri: str, timeout_s: float) -> None:
    try:
        with urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=timeout_s):
            return
    except urllib.error.HTTPError:
        return  # it answers; what it thinks of us, the first call will tell
    except (OSError, ValueError) as error:
        told = f"no tracking server answers ({error}); start it"
        raise BadEnvironment.at(
            shown(uri), f"{told}, or unset MLFLOW_TRACKING_URI to work offline, in a file"
        ) from None


def is_gone(error: BaseException) -> bool:
    """Whether no server answered; one that refuses something does answer."""
    errors = chain(error, lambda one: one.__cause__ or one.__context__)
    return any(isinstance(one, ConnectionError | Timeout | RetryError | requests.ConnectionError) for one in errors)


def first_line(error: Exception) -> str:
    """What an error says, without the trace or the statement that others add, and without a password."""
    return shown(str(error).splitlines()[0]) if str(error) else type(error).__name__
