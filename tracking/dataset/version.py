"""A dataset version, local or remote, and its verified shards."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from millstream.tracking.dataset import manifest
from millstream.tracking.dataset.filesystems import Place, Remote, place
from millstream.tracking.dataset.manifest import Manifest, Shard
from millstream.tracking.dataset.shard_cache import Cache, Wanted
from millstream.tracking.errors import BadData

LATEST = "latest"
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Dataset:
    """A published version: its folder, manifest, and the cache for its shards if the folder is remote."""

    folder: Place
    manifest: Manifest
    cache: Cache | None = field(default=None, compare=False, repr=False)
    _verified: dict[str, Path] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def open(cls, where: str | Place, store: str | Place, cache: Cache | None = None) -> Dataset:
        """The version at the path or URL `where`, or `<name>` (its latest) or `<name>/<version>` in the store.

        `cache` keeps the shards of a remote version. Raises BadData if there is no version, its manifest is corrupt,
        or a name leads out of the store.
        """
        folder = place(where)
        if not (folder / manifest.FILE).is_file():
            folder = _in_store(str(where), place(store))
        if isinstance(folder, Path):
            folder = folder.resolve()
        return cls(folder, Manifest.read(folder), cache)

    def shards(self, split: str) -> tuple[Shard, ...]:
        """The shards of a split in stored order. Raises BadData if the version has no such split."""
        if split not in self.manifest.splits:
            raise BadData.at(self.folder, f"no split {split!r}; it has {sorted(self.manifest.splits)}")
        return self.manifest.splits[split].shards

    def verified(self, shard: Shard) -> Path:
        """Local file of the shard, after size and sha256 were checked against the manifest (once per process).

        A remote one is copied into the cache and stays there until it is released as often as it was requested. Raises
        BadData if the file is missing, has another size or other bytes; BadEnvironment if the cache is full.
        """
        if isinstance(self.folder, Remote):
            return self._copied(shard, self.folder / shard.file)
        if shard.file in self._verified:
            return self._verified[shard.file]
        path = self.folder / shard.file
        try:
            size, digest = path.stat().st_size, sha256_of(path)
        except OSError as error:
            raise BadData.at(path, f"cannot be read ({error.strerror}); `millstream prepare` makes it again") from None
        if size != shard.bytes or digest != shard.sha256:
            message = f"{size} bytes, sha256 {digest[:12]}; the manifest has {shard.bytes} bytes, {shard.sha256[:12]}"
            raise BadData.at(
                path, f"{message}: the shard was changed or damaged, delete the version and prepare it again"
            )
        self._verified[shard.file] = path
        return path

    def release(self, shard: Shard) -> None:
        """Release one use of the shard: its cached copy may then be evicted."""
        if self.cache is not None and isinstance(self.folder, Remote):
            self.cache.release(shard.sha256)

    def _copied(self, shard: Shard, remote: Remote) -> Path:
        if self.cache is None:
            raise ValueError(f"{self.folder} is remote: open it with a cache")
        try:
            return self.cache.lend(Wanted(shard.sha256, shard.bytes, str(remote), remote.read_bytes))
        except FileNotFoundError:
            raise BadData.at(remote, "is not there; `millstream prepare` makes it again") from None


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file, read in chunks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def versions(store: str | Place, name: str) -> Iterator[Place]:
    """Folders of all published versions of a dataset: those with a manifest."""
    folder = place(store) / name
    if folder.is_dir():
        folders: list[Place] = list(folder.iterdir())
        for version in sorted(folders, key=lambda one: one.name):
            if version.name != LATEST and (version / manifest.FILE).is_file():
                yield version


def latest(folder: Place) -> str | None:
    """The version that `latest` in a dataset's folder points to: a symlink locally, a file with the name remotely."""
    pointer = folder / LATEST
    if isinstance(pointer, Path):
        return pointer.readlink().name if pointer.is_symlink() else None
    try:
        named = pointer.read_text().strip()
    except FileNotFoundError:
        return None
    if not re.fullmatch(r"\w[\w.-]*", named):
        raise BadData.at(pointer, f"names no version ({named[:80]!r}); `millstream prepare` writes it again")
    return named


def _in_store(where: str, store: Place) -> Place:
    parts = Path(where).parts
    if len(parts) not in (1, 2) or ".." in parts or Path(where).is_absolute() or "://" in where:
        raise BadData.at(
            where, f"no dataset version there, and no name in the store {store} (<name> or <name>/<version>)"
        )
    version = parts[1] if len(parts) == 2 else latest(store / parts[0])
    folder = store / parts[0] / (version or LATEST)
    if isinstance(folder, Path) and isinstance(store, Path):
        outside = store.resolve() not in folder.resolve().parents
    else:
        outside = False  # remote stores have no links
    if version is None or outside or not folder.is_dir():
        raise BadData.at(where, f"no such dataset in the store {store}; `millstream prepare` makes one")
    return folder
