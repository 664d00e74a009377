"""A store behind a URL: S3, or a Hadoop file system.

There is no renaming of folders that all of them do at once. So the files of a version get names that no other process
writes (they end in the token of this publishing), and `manifest.json` comes last, in one piece, and only if there is
none: without a manifest there is no version. `latest` is a small file with the name of a version. A marker,
`.staging-.../owner`, is there from before the first file to after the last, so that leftovers have an owner.
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
        """Remove the files of publishings that died, and of versions that were removed; the names removed."""
        folder = self.where / name
        listed = list(folder.files())
        marks = self._marks(folder)  # after the files: who wrote one of them has marked it before
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
        """What a worker is to reach."""
        yield self.where / name

    @contextmanager
    def staging(self, name: str, version: str) -> Iterator[RemoteStaging]:
        """A version in the making; whatever was written is gone afterwards unless it was committed.

        Raises BadEnvironment when the store cannot be written.
        """
        staged = RemoteStaging(self, name, Mark.mine(version))
        staged.touch()
        try:
            yield staged
        finally:
            staged.leave()

    def point_latest(self, name: str, version: str) -> None:
        """Make `latest` name this version, in one step."""
        _put(self.where / name / LATEST, f"{version}\n".encode())

    def remove(self, name: str, version: str) -> None:
        """Remove the manifest, so that the version is gone at once, and then its files."""
        folder = self.where / name
        self._delete(folder, [f"{version}/{contract.FILE}"])
        self._delete(folder, [f"{version}/{file}" for file in (folder / version).files()])
        self._delete_folder(folder / version)

    def _marks(self, folder: Remote) -> dict[Mark, bool]:
        """The marks of all publishings, and whether they are left over."""
        found = {}
        for one in folder.iterdir() if folder.is_dir() else ():
            mark = Mark.parse(one.name)
            if mark is not None:
                found[mark] = mark.is_left(_touched(one / OWNER))
        return found

    def _delete(self, folder: Remote, files: Iterable[str]) -> None:
        wanted = [str(folder / file) for file in files]
        with answering(str(folder)):
            if wanted:
                folder.system.rm(wanted)

    def _delete_folder(self, folder: Remote) -> None:
        """On file systems whose folders stay when their files are gone."""
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
        """Say that this publishing is alive."""
        _put(self.marker / OWNER, b"")

    def write(self, frame: DataFrame, files: Sequence[str]) -> list[Written]:
        """Each part of a placed frame as a Parquet file of that name, and the token of this publishing."""
        self.touch()
        if self.version.scheme == S3:
            return shard_writer.write(frame, str(self.version), files, self.mark.token)
        scratch = self.marker / files[0].partition("/")[0]
        return hadoop_fs.write(frame, str(scratch), str(self.version), files, self.mark.token)

    def commit(self, manifest: Manifest) -> Remote:
        """Make it the version that its manifest names; if another process was first, its version stays."""
        with suppress(FileExistsError):  # then ours goes in `leave`
            _put(self.version / contract.FILE, manifest.text().encode(), mode="create")
        self.store.point_latest(manifest.name, manifest.version)
        return self.version

    def leave(self) -> None:
        """Remove what was not published, and the marker."""
        folder = self.store.where / self.name
        mine = [file for file in self.version.files() if _token(file) == self.mark.token]
        unused = _leftovers(self.version, mine, set())
        self.store._delete(folder, unused)
        self.store._delete(folder, [f"{self.mark}/{OWNER}"])
        self.store._delete_folder(self.marker)


def _put(target: Remote, content: bytes, mode: str = "overwrite") -> None:
    """Write a small file in one piece; with mode `create` only where there is none. Raises FileExistsError."""
    with answering(str(target)):
        try:
            target.system.pipe_file(str(target), content, mode=mode)
        except FileNotFoundError as error:
            raise BadEnvironment.at(target, f"cannot be written ({error}); make the bucket or folder first") from None


def _touched(owner: Remote) -> float:
    """When a publishing last said that it is alive; now, where it is just about to say so."""
    with answering(str(owner)):
        try:
            return float(owner.system.modified(str(owner)).timestamp())
        except (FileNotFoundError, NotADirectoryError):
            return time.time()


def _leftovers(version: Remote, files: list[str], living: set[str]) -> list[str]:
    """Those of a version's files, as `<version>/<file>`, that no manifest names and no living process is writing."""
    files = [file for file in files if not _is_on_its_way(file)]
    tokens = {token for file in files if (token := _token(file))}
    if not files or (contract.FILE in files and len(tokens) <= 1):
        return []
    try:
        published = {_token(shard.file) for split in Manifest.read(version).splits.values() for shard in split.shards}
    except BadData:
        if (version / contract.FILE).is_file():
            return []  # damaged: that is for `verify` to tell, and nothing to tidy up
        return [f"{version.name}/{file}" for file in files if _token(file) not in living]
    return [f"{version.name}/{file}" for file in files if _token(file) in tokens - published - living]


def _is_on_its_way(file: str) -> bool:
    """Whether a living process is about to rename this small file into its place."""
    mark = Mark.parse(file.rpartition("/")[2])
    return mark is not None and not mark.is_left(time.time())


def _token(file: str) -> str | None:
    found = _TOKEN.search(file)
    return found[1] if found else None
