"""The store that versions are published in: on a disk, on S3 or on a Hadoop file system."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from millstream.pipelines.publish import hadoop_fs
from millstream.pipelines.publish.local_store import LocalStaging, LocalStore
from millstream.pipelines.publish.remote_store import RemoteStaging, RemoteStore
from millstream.tracking.dataset.filesystems import S3, Place, Remote, place
from millstream.tracking.settings import Settings

Store = LocalStore | RemoteStore
Staging = LocalStaging | RemoteStaging


def open_store(settings: Settings, start: Callable[[], object]) -> Store:
    """The store of MILLSTREAM_STORE; `start` starts Spark, which is needed to reach a Hadoop file system."""
    where = place(settings.store)
    if isinstance(where, Path):
        return LocalStore(where.absolute())
    reach(where, start)
    return RemoteStore(where)


def reach(where: Place, start: Callable[[], object]) -> None:
    """Make a location accessible to this process: paths and S3 are, all others need Spark."""
    if isinstance(where, Remote) and where.scheme != S3:
        start()
        hadoop_fs.use_for(where.scheme)
