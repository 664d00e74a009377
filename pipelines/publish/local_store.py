"""A store on a disk: a version is written to a staging folder, synced, and renamed together with its manifest."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pyspark.sql import DataFrame

from millstream.pipelines.publish import shard_writer
from millstream.pipelines.publish.shard_writer import STORE, Written, synced
from millstream.pipelines.publish.staging_name import Mark, left_in
from millstream.tracking.dataset import manifest as contract
from millstream.tracking.dataset.manifest import Manifest
from millstream.tracking.dataset.version import LATEST
from millstream.tracking.errors import BadEnvironment
from millstream.tracking.host.disk_full import is_full, no_room

_BLOCK_BYTES = 4096
"""Disk space of the smallest new file or folder."""


@dataclass(frozen=True)
class LocalStore:
    where: Path

    def sweep(self, name: str) -> list[str]:
        """Remove what dead processes left of a dataset's stagings and removals; returns the names removed."""
        removed = []
        for folder in left_in(self.where / name):
            shutil.rmtree(folder, ignore_errors=True)
            removed.append(folder.name)
        return removed

    @contextmanager
    def probe(self, name: str) -> Iterator[Path]:
        """A new folder: a worker that sees it sees this store, and not a local folder at the same path."""
        with self.staging(name, "probe") as staged:
            yield staged.folder

    @contextmanager
    def staging(self, name: str, version: str) -> Iterator[LocalStaging]:
        """An uncommitted version, in a folder that is removed afterwards unless it was committed.

        Raises BadEnvironment when the store cannot be written or is full.
        """
        folder = self.where / name / str(Mark.mine(version))
        try:
            folder.mkdir(parents=True)
            yield LocalStaging(self, folder)
        except OSError as error:
            raise _store_fault(self.where, error) from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def point_latest(self, name: str, version: str) -> None:
        """Atomically point the link `latest` to this version."""
        folder = self.where / name
        beside = folder / str(Mark.mine(version))
        beside.symlink_to(version)
        beside.replace(folder / LATEST)

    def remove(self, name: str, version: str) -> None:
        """Rename a version away, so that it disappears atomically, and then remove its files."""
        folder = self.where / name
        beside = folder / str(Mark.mine(version))
        (folder / version).rename(beside)
        shutil.rmtree(beside)


@dataclass(frozen=True)
class LocalStaging:
    store: LocalStore
    folder: Path

    def write(self, frame: DataFrame, files: Sequence[str]) -> list[Written]:
        """Write each part of a placed frame as the Parquet file of that name."""
        for below in dict.fromkeys(file.partition("/")[0] for file in files):
            (self.folder / below).mkdir()
        return shard_writer.write(frame, str(self.folder), files)

    def commit(self, manifest: Manifest) -> Path:
        """Publish the version of the manifest; if another process was first, its version is kept."""
        (self.folder / "quarantine").mkdir(exist_ok=True)
        synced(self.folder / contract.FILE, manifest.text().encode())
        # the content of all files is synced already; now sync their names
        for folder in (*(one for one in self.folder.iterdir() if one.is_dir()), self.folder):
            _sync_folder(folder)
        version = self.store.where / manifest.name / manifest.version
        if version.is_dir() and not (version / contract.FILE).is_file():
            shutil.rmtree(version)  # no version without a manifest: an incomplete removal
        try:
            self.folder.rename(version)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        _sync_folder(version.parent)
        self.store.point_latest(manifest.name, manifest.version)
        return version


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)


def _store_fault(store: Path, error: OSError) -> OSError | BadEnvironment:
    if is_full(error):
        return BadEnvironment(*BadEnvironment.at(error.filename or store, no_room(store, _BLOCK_BYTES, STORE)).faults)
    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR):
        message = f"cannot be written ({error.strerror}); set MILLSTREAM_STORE to a folder of yours"
        return BadEnvironment(*BadEnvironment.at(store, message).faults)
    return error
