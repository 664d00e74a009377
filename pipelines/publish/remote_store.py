"""A store at a URL: S3, or a Hadoop file system.

Not all of them have an atomic rename of folders. So the files of a version have unique names (they end in the token of
this publishing process), and `manifest.json` is written last, atomically, and only if there is none: without a manifest
there is no version. `latest` is a small file with the name of a version. A marker, `.staging-.../owner`, exists from
before the first file until after the last, so that leftovers have an owner.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from pyspark.sql import DataFrame

from millstream.pipelines.publish import hadoop_fs, shard_writer
from millstream.pipelines.publish.shard_writer import Written
from millstream.pipelines.publish.staging_name import Mark
from millstream.tracking.dataset import manifest as contract
from millstream.tracking.dataset.filesystems import S3, Remote, answering
from millstream.tracking.dataset.manifest import Manifest
from millstream.tracking.dataset.version import LATEST
from millstream.tracking.errors import BadData, BadEnvironment

OWNER = "owner"
_TOKEN = re.compile(r"-([0-9a-f]{8})\.parquet$")


@dataclass(frozen=True)
class RemoteStore:
    where: Remote

    def sweep(self, name: str) -> list[str]:
        """Remove the files of dead publishing processes, and of removed versions; returns the names removed."""
        folder = self.where / name
        listed = list(folder.files())
        marks = self._marks(folder)  # listed after the files: the marker of a file is written before it
        living = {mark.token for mark, left in marks.items() if not left}
        dead = [str(mark) for mark, left in marks.items() if left]
        removed = [file for file in listed if file.partition("/")[0] in dead]
        for version in sorted({file.partition("/")[0] for file in listed if not file.startswith(".")} - {LATEST}):
            mine = [file for file in listed if file.startswith(f"{version}/")]
            removed += _leftovers(folder / version, [file.removeprefix(f"{version}/") for file in mine], living)
        self._delete(folder, removed)
        for mark in dead:
            self._delete_folder(folder / mark)
        return removed

    @contextmanager
    def probe(self, name: str) -> Iterator[Remote]:
        """The URL that a worker has to reach."""
        yield self.where / name

    @contextmanager
    def staging(self, name: str, version: str) -> Iterator[RemoteStaging]:
        """An uncommitted version; its files are removed afterwards unless it was committed.

        Raises BadEnvironment when the store cannot be written.
        """
        staged = RemoteStaging(self, name, Mark.mine(version))
        staged.touch()
        try:
            yield staged
        finally:
            staged.leave()

    def point_latest(self, name: str, version: str) -> None:
        """Atomically point `latest` to this version."""
        _put(self.where / name / LATEST, f"{version}\n".encode())

    def remove(self, name: str, version: str) -> None:
        """Remove the manifest, so that the version disappears atomically, and then its files."""
        folder = self.where / name
        self._delete(folder, [f"{version}/{contract.FILE}"])
        self._delete(folder, [f"{version}/{file}" for file in (folder / version).files()])
        self._delete_folder(folder / version)

    def _marks(self, folder: Remote) -> dict[Mark, bool]:
        """Markers of all publishing processes, and whether they are leftovers."""
        marks = {}
        for one in folder.iterdir() if folder.is_dir() else ():
            mark = Mark.parse(one.name)
            if mark is not None:
                marks[mark] = mark.is_left(_touched(one / OWNER))
        return marks

    def _delete(self, folder: Remote, files: Iterable[str]) -> None:
        wanted = [str(folder / file) for file in files]
        with answering(str(folder)):
            if wanted:
                folder.system.rm(wanted)

    def _delete_folder(self, folder: Remote) -> None:
        """Remove a folder, except on S3, where a folder without files does not exist."""
        with answering(str(folder)):
            if folder.scheme != S3:
                folder.system.rm(str(folder), recursive=True)


@dataclass(frozen=True)
class RemoteStaging:
    store: RemoteStore
    name: str
    mark: Mark

    @property
    def version(self) -> Remote:
        return self.store.where / self.name / self.mark.version

    @property
    def marker(self) -> Remote:
        return self.store.where / self.name / str(self.mark)

    def touch(self) -> None:
        """Heartbeat: update the marker of this publishing process."""
        _put(self.marker / OWNER, b"")

    def write(self, frame: DataFrame, files: Sequence[str]) -> list[Written]:
        """Write each part of a placed frame as the Parquet file of that name, with this process's token."""
        self.touch()
        if self.version.scheme == S3:
            return shard_writer.write(frame, str(self.version), files, self.mark.token)
        scratch = self.marker / files[0].partition("/")[0]
        return hadoop_fs.write(frame, str(scratch), str(self.version), files, self.mark.token)

    def commit(self, manifest: Manifest) -> Remote:
        """Publish the version of the manifest; if another process was first, its version is kept."""
        with suppress(FileExistsError):  # then `leave` removes ours
            _put(self.version / contract.FILE, manifest.text().encode(), mode="create")
        self.store.point_latest(manifest.name, manifest.version)
        return self.version

    def leave(self) -> None:
        """Remove unpublished files and the marker."""
        folder = self.store.where / self.name
        mine = [file for file in self.version.files() if _token(file) == self.mark.token]
        unused = _leftovers(self.version, mine, set())
        self.store._delete(folder, unused)
        self.store._delete(folder, [f"{self.mark}/{OWNER}"])
        self.store._delete_folder(self.marker)


def _put(target: Remote, content: bytes, mode: str = "overwrite") -> None:
    """Write a small file atomically; with mode `create` it must not exist. Raises FileExistsError."""
    with answering(str(target)):
        try:
            target.system.pipe_file(str(target), content, mode=mode)
        except FileNotFoundError as error:
            raise BadEnvironment.at(target, f"cannot be written ({error}); make the bucket or folder first") from None


def _touched(owner: Remote) -> float:
    """Time of the last heartbeat, in seconds since 1970; now, if the marker is not written yet."""
    with answering(str(owner)):
        try:
            return float(owner.system.modified(str(owner)).timestamp())
        except (FileNotFoundError, NotADirectoryError):
            return time.time()


def _leftovers(version: Remote, files: list[str], living: set[str]) -> list[str]:
    """Files of a version, as `<version>/<file>`, that are in no manifest and not being written by a living process."""
    files = [file for file in files if not _is_on_its_way(file)]
    tokens = {token for file in files if (token := _token(file))}
    if not files or (contract.FILE in files and len(tokens) <= 1):
        return []
    try:
        published = {_token(shard.file) for split in Manifest.read(version).splits.values() for shard in split.shards}
    except BadData:
        if (version / contract.FILE).is_file():
            return []  # damaged: `verify` reports it, nothing is removed
        return [f"{version.name}/{file}" for file in files if _token(file) not in living]
    return [f"{version.name}/{file}" for file in files if _token(file) in tokens - published - living]


def _is_on_its_way(file: str) -> bool:
    """Whether this is the temporary name of a small file that a living process is writing."""
    mark = Mark.parse(file.rpartition("/")[2])
    return mark is not None and not mark.is_left(time.time())


def _token(file: str) -> str | None:
    match = _TOKEN.search(file)
    return match[1] if match else None
