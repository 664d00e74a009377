"""Locates the files that a source reads, verified by hash: in the mirror, among the downloads, or at their origin.

A file whose name is a URL (s3://, hdfs://, ...) is copied to this machine, so that the hashed bytes are those read.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import os
import shutil
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from millstream.pipelines.readers.part_files import parts
from millstream.pipelines.table import InPlace, Listing, OriginFile, Source
from millstream.tracking.dataset.filesystems import Remote, answering, place
from millstream.tracking.dataset.manifest import File
from millstream.tracking.errors import BadData
from millstream.tracking.settings import Settings

TIMEOUT_S = 60
LARGE_BYTES, MOST_UNFOLDED = 1 << 30, 200
"""Limits of a decompressed archive, in bytes and as a multiple of its size: tables and texts compress less."""
_FOLDER = "is a folder; expected a file: name each of the files in it, as `<folder>/part-00000.parquet`"


def locate(file: OriginFile, settings: Settings) -> Path:
    """The local path of an origin file with a verified hash.

    Searched in the mirror, in the current folder (the user's own files need no hash), among the downloads, and last at
    its url. Raises BadData when it is not found, or when its hash differs.
    """
    where = place(file.name)
    if isinstance(where, Remote):
        return _copied(file, where, settings)
    name = where
    if ".." in name.parts:
        raise BadData.at(file.name, "leads out of its folder; give a path without ..")
    searched = places(name, settings)
    for path in searched:
        if path.is_file():
            _check(path, file)
            return path
    if file.url is None or file.sha256 is None:
        if any(one.is_dir() for one in searched):
            raise BadData.at(file.name, _folder(file))
        looked = ", ".join(str(one.parent) for one in searched)
        raise BadData.at(
            file.name, f"not found in {looked}; put it there, or set MILLSTREAM_MIRROR to the folder that has it"
        )
    return _download(file, file.url, searched[-1])


def places(name: Path, settings: Settings) -> list[Path]:
    """Where a file of this machine is searched: in the mirror, in the current folder, among the downloads."""
    mirrored = [settings.mirror / name] if settings.mirror and not name.is_absolute() else []
    return [*mirrored, Path.cwd() / name, settings.downloads / name.relative_to(name.anchor)]


def named(source: Source) -> list[str]:
    """Paths and URLs in the configuration of a source: of its files, and of what holds them."""
    folder = source.folder if isinstance(source, Listing) else None
    where = source.place if isinstance(source, InPlace) else None
    below = dict.fromkeys(one for one in (folder, where) if one is not None)
    return [*(file.name for file in source.origin_files()), *below]


def locate_all(source: Source, settings: Settings) -> dict[OriginFile, Path]:
    """The local paths of all files of a source, including those that its first files list, and part files of folders.

    Raises BadData as `locate`, and for a folder that holds no part files.
    """
    folders = folders_of(settings)
    wanted = [part for file in source.origin_files() for part in parts(file, folders)]
    located = {file: locate(file, settings) for file in wanted}
    if isinstance(source, Listing):
        listed = source.listed_files({file.name: path for file, path in located.items()}, folders)
        located |= {file: locate(file, settings) for file in listed}
    return located


def folders_of(settings: Settings) -> list[Path]:
    """The folders in which relative paths are looked up."""
    return [folder for folder in (settings.mirror, Path.cwd()) if folder is not None]


def record(file: OriginFile, path: Path) -> File:
    """The manifest's record of an origin file."""
    return File(name=file.name, sha256=file.sha256 or content_hash(path), bytes=path.stat().st_size)


def content_hash(path: Path) -> str:
    """Hex SHA-256 of a file's bytes, of the uncompressed ones for `.gz` (except tar archives)."""
    compressed = path.suffix == ".gz" and not path.name.endswith(".tar.gz")
    digest, left = hashlib.sha256(), max(LARGE_BYTES, MOST_UNFOLDED * path.stat().st_size)
    try:
        with gzip.open(path) if compressed else path.open("rb") as stream:
            while piece := stream.read(1 << 20):
                digest.update(piece)
                left -= len(piece) if compressed else 0
                if left < 0:
                    raise BadData.at(path, f"unfolds to more than {MOST_UNFOLDED} times its size; unpack it yourself")
    except (OSError, EOFError, zlib.error) as error:
        raise BadData.at(path, f"cannot be read to its end ({error}); get the file again") from error
    return digest.hexdigest()


def _folder(file: OriginFile) -> str:
    return f"{_FOLDER}, or leave out the sha256" if file.or_folder and file.sha256 else _FOLDER


def _check(path: Path, file: OriginFile) -> None:
    if file.sha256 is None:
        return
    digest = content_hash(path)
    if digest != file.sha256:
        raise BadData.at(path, f"sha256 {digest}; expected {file.sha256}: it is another file, or damaged; get it again")


def _copied(file: OriginFile, remote: Remote, settings: Settings) -> Path:
    """An up-to-date local copy of a remote file, with the same folder structure."""
    below = remote.url.replace("://", "/")
    if ".." in Path(below).parts:
        raise BadData.at(file.name, "leads out of its folder; give a URL without ..")
    target = settings.downloads / below
    if file.sha256 is not None and target.is_file() and content_hash(target) == file.sha256:
        return target
    state_file = target.with_name(f".{target.name}.state")
    with answering(str(remote)):
        try:
            # size, and modification time or tag
            state = str(remote.system.ukey(str(remote)))
            if target.is_file() and state_file.is_file() and state_file.read_text() == state:
                _check(target, file)
                return target
            with _beside(target) as copy:
                remote.system.get_file(str(remote), str(copy))
                if copy.is_dir():  # how fsspec copies a folder
                    copy.rmdir()
                    raise FileNotFoundError(str(remote))
                _check(copy, file)
        except FileNotFoundError:
            problem = _folder(file) if remote.is_dir() else "is not there; give the URL of a file"
            raise BadData.at(file.name, problem) from None
    state_file.write_text(state)
    return target


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """A temporary file that replaces `target` when it was written completely, and is removed otherwise."""
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{os.getpid()}.{target.name}")
    try:
        yield beside
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


def _download(file: OriginFile, url: str, target: Path) -> Path:
    try:
        with _beside(target) as copy, _open(url) as answer:
            with copy.open("wb") as out:
                shutil.copyfileobj(answer, out)
            _check(copy, file)
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise BadData.at(
            url, f"cannot be fetched ({error}); put {file.name} into the folder of MILLSTREAM_MIRROR"
        ) from None
    return target


def _open(url: str) -> IO[bytes]:
    if not url.startswith("https://"):
        raise BadData.at(url, "is not https; files are fetched over https alone")
    stream: IO[bytes] = urllib.request.build_opener(_SameScheme).open(url, timeout=TIMEOUT_S)
    return stream


class _SameScheme(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, request: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if not newurl.startswith("https://"):
            raise BadData.at(request.full_url, f"sends on to {newurl}; a redirect to another scheme is not followed")
        return super().redirect_request(request, fp, code, msg, headers, newurl)
