"""Where the artifacts of a SQLite store are: in a folder beside it, wherever both are by now.

MLflow writes absolute addresses into its store. Of a home that was moved, copied, or is mounted at another place in a
container they name a folder that is not there, or is another home's. So an address is resolved against the store's
present place when it is used (`Beside`), also while somebody else uses the store at another place; and it is corrected
in the store when that is opened, for those who read it without this package: MLflow's own pages, a notebook.
"""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import mlflow
from mlflow.store.artifact import artifact_repository_registry as registry
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
from mlflow.utils.file_utils import local_file_uri_to_path

from millstream.tracking.settings import sqlite_file

FOLDER = "artifacts"
_OF_RUN = re.compile(rf".*/{FOLDER}/(?P<below>\w*[^\W\d][\w-]*/[0-9a-f]{{32}}/artifacts(?:/.*)?)", re.DOTALL)
"""An address of ours in a store: MLflow's own experiments lie in folders of numbers."""
_ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def location(file: Path, name: str) -> Path:
    """Where the artifacts of the experiment `name` are kept, of the store in `file`."""
    return file.parent / FOLDER / re.sub(r"[^\w-]+", "-", name)


def present(path: Path, file: Path) -> Path:
    """Where what the store in `file` has at `path` is by now, or is to be written."""
    found = _OF_RUN.fullmatch(str(path))
    return _present(path, file.parent / FOLDER / found["below"]) if found else path


def folder_of(artifact_uri: str, tracking_uri: str) -> str:
    """The local folder of a run's artifacts, or their address elsewhere."""
    if not artifact_uri.startswith("file:"):
        return artifact_uri
    file, path = sqlite_file(tracking_uri), Path(local_file_uri_to_path(artifact_uri))
    return str(present(path, file) if file else path)


class Beside(LocalArtifactRepository):  # type: ignore[misc]  # MLflow has no types here
    """MLflow's local artifacts, at their present place."""

    @property
    def artifact_dir(self) -> str:
        file = sqlite_file(mlflow.get_tracking_uri())  # MLflow keeps this object for a run, whichever store is open
        return str(present(Path(self._artifact_dir), file)) if file else str(self._artifact_dir)


def use_present_places() -> None:
    """Have MLflow in this process look for local artifacts beside their store."""
    registry._artifact_repository_registry.register("file", Beside)


def correct(file: Path) -> None:
    """Write the present places into a store that is ready, and was moved."""
    if not os.access(file, os.W_OK):
        return
    with closing(sqlite3.connect(file)) as store, store:
        for name, written in store.execute("SELECT name, artifact_location FROM experiments").fetchall():
            before, now = Path(local_file_uri_to_path(written)), location(file, name)
            is_ours = written.startswith("file:") and before.parts[-2:] == now.parts[-2:]
            if is_ours and before != now and _present(before, now) == now and not _is_same(before, now):
                for table, column in _ADDRESSES:
                    _move(store, table, column, written, now.as_uri())


def _present(before: Path, now: Path) -> Path:
    """A store that is not in a home of its own may have artifacts in the home that it was made for."""
    return now if now.exists() or not before.exists() else before


def _is_same(one: Path, other: Path) -> bool:
    """Whether both are names of one folder: a link, or a place that it is mounted at as well."""
    return one.exists() and other.exists() and one.samefile(other)


def _move(store: sqlite3.Connection, table: str, column: str, before: str, now: str) -> None:
    values: dict[str, Any] = {"before": before, "now": now, "length": len(before)}
    is_below = f"{column} = :before OR substr({column}, 1, :length + 1) = :before || '/'"
    store.execute(f"UPDATE {table} SET {column} = :now || substr({column}, :length + 1) WHERE {is_below}", values)
