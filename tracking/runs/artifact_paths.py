"""Artifact folders of a SQLite store: next to the store, also after both were moved.

MLflow writes absolute URIs into its store. If the home was moved, copied, or is mounted at another path in a container,
they point to a missing folder, or into another home. So a URI is resolved against the store's current path on use
(`Beside`), which also works while another process has the store at another path; and it is corrected in the store when
that is opened, for readers without this package: MLflow's UI, a notebook.
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
"""An artifact URI of this package: MLflow's own experiments are in numbered folders."""
_ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def location(file: Path, name: str) -> Path:
    """Artifact folder of the experiment `name`, for the store in `file`."""
    return file.parent / FOLDER / re.sub(r"[^\w-]+", "-", name)


def present(path: Path, file: Path) -> Path:
    """Current path of an artifact that the store in `file` has at `path`."""
    match = _OF_RUN.fullmatch(str(path))
    return _present(path, file.parent / FOLDER / match["below"]) if match else path


def folder_of(artifact_uri: str, tracking_uri: str) -> str:
    """Local folder of a run's artifacts, or their URI if they are remote."""
    if not artifact_uri.startswith("file:"):
        return artifact_uri
    file, path = sqlite_file(tracking_uri), Path(local_file_uri_to_path(artifact_uri))
    return str(present(path, file) if file else path)


class Beside(LocalArtifactRepository):  # type: ignore[misc]  # MLflow has no types here
    """MLflow's local artifact repository, at its current path."""

    @property
    def artifact_dir(self) -> str:
        file = sqlite_file(mlflow.get_tracking_uri())  # MLflow caches this object per run, whichever store is open
        return str(present(Path(self._artifact_dir), file)) if file else str(self._artifact_dir)


def use_present_places() -> None:
    """Make MLflow in this process resolve local artifacts next to their store."""
    registry._artifact_repository_registry.register("file", Beside)


def correct(file: Path) -> None:
    """Update the paths in an initialized store that was moved."""
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
    """The new path, unless artifacts exist only at the old one: a store outside a home may keep them in that home."""
    return now if now.exists() or not before.exists() else before


def _is_same(one: Path, other: Path) -> bool:
    """Whether both paths are the same folder: a link, or a second mount."""
    return one.exists() and other.exists() and one.samefile(other)


def _move(store: sqlite3.Connection, table: str, column: str, before: str, now: str) -> None:
    values: dict[str, Any] = {"before": before, "now": now, "length": len(before)}
    is_below = f"{column} = :before OR substr({column}, 1, :length + 1) = :before || '/'"
    store.execute(f"UPDATE {table} SET {column} = :now || substr({column}, :length + 1) WHERE {is_below}", values)
