"""A dataset version on disk: finding it, and handing out shards whose bytes were verified."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tracking import manifest
from tracking.faults import BadData
from tracking.manifest import Manifest, Shard

LATEST = "latest"
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Dataset:
    """A published version: its folder and its manifest."""

    folder: Path
    manifest: Manifest
    _verified: set[str] = field(default_factory=set, compare=False, repr=False)

    @classmethod
    def open(cls, where: str | Path, store: str | Path) -> Dataset:
        """The version at the path `where`, or `<name>` (its latest) or `<name>/<version>` in the store.

        Raises BadData when there is none, its manifest is damaged, or a name leads out of the store.
        """
        folder = Path(where)
        if not (folder / manifest.FILE).is_file():
            folder = _in_store(str(where), Path(store))
        folder = folder.resolve()
        return cls(folder, Manifest.read(folder))

    def shards(self, split: str) -> tuple[Shard, ...]:
        """The shards of a split in stored order. Raises BadData when the version has no such split."""
        if split not in self.manifest.splits:
            raise BadData.at(self.folder, f"no split {split!r}; it has {sorted(self.manifest.splits)}")
        return self.manifest.splits[split].shards

    def verified(self, shard: Shard) -> Path:
        """The shard's file, after its size and sha256 were compared with the manifest (once per process).

        Raises BadData when the file is missing, of another size, or its bytes differ.
        """
        path = self.folder / shard.file
        if shard.file in self._verified:
            return path
        try:
            size, found = path.stat().st_size, sha256_of(path)
        except OSError as error:
            raise BadData.at(path, f"cannot be read ({error.strerror}); `millstream prepare` makes it again") from None
        if size != shard.bytes or found != shard.sha256:
            told = f"{size} bytes, sha256 {found[:12]}; the manifest says {shard.bytes} bytes, {shard.sha256[:12]}"
            raise BadData.at(path, f"{told}: the shard was changed or damaged, delete the version and prepare it again")
        self._verified.add(shard.file)
        return path


def sha256_of(path: Path) -> str:
    """The hex SHA-256 of a file's bytes, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def versions(store: Path, name: str) -> Iterable[Path]:
    """The folders of all published versions of a dataset: those with a manifest."""
    folder = store / name
    if folder.is_dir():
        for version in sorted(folder.iterdir()):
            if version.name != LATEST and (version / manifest.FILE).is_file():
                yield version


def _in_store(where: str, store: Path) -> Path:
    parts = Path(where).parts
    if len(parts) not in (1, 2) or ".." in parts or Path(where).is_absolute():
        raise BadData.at(
            where, f"no dataset version there, and no name in the store {store} (<name> or <name>/<version>)"
        )
    folder = store / parts[0] / (parts[1] if len(parts) == 2 else LATEST)
    if not folder.exists() or store.resolve() not in folder.resolve().parents:
        raise BadData.at(where, f"no such dataset in the store {store}; `millstream prepare` makes one")
    return folder
