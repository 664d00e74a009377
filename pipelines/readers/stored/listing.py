"""Lists the files that workers read where they lie, with what their store vouches for, and their partition columns.

Only names, lengths and tags are read here; a folder of a partition is named as Hive and Spark do (`day=2024-01-31`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn
from urllib.parse import unquote

from millstream.pipelines.readers import part_files
from millstream.pipelines.readers.hidden_files import is_hidden
from millstream.pipelines.table import StoredFile
from millstream.tracking.dataset.filesystems import Place, Remote, place
from millstream.tracking.errors import BadData, BadEnvironment

IDENTITY = (
    "what identifies the files: `content`, SHA-256 computed by the workers (the default), or `store`, the tag that the "
    "store keeps of each (etag; modification time on a disk) and its length"
)
NULL = "__HIVE_DEFAULT_PARTITION__"
"""Name of the partition whose value is null."""
_RESERVED = re.compile(r"(?:^|/)_[^/=]*=")
"""A partition column that begins as the names that Hadoop ignores do."""


def listed(where: str, folders: Sequence[Path]) -> tuple[StoredFile, ...]:
    """The file at a path or URL, or all part files below the folder, sorted, by their paths relative to it.

    Raises BadData when there is none, when a table log defines which of them are valid, or when their folders name
    different partition columns.
    """
    at = root(where, folders)
    if isinstance(at, Path):
        names = [at.name] if at.is_file() else sorted(path.as_posix() for path in paths_below(at))
        above = at.parent if at.is_file() else at
        return _checked(at, names, lambda name: on_disk(name, above / name))
    found = at.files()
    if not found and at.is_dir():
        raise BadData.at(at, "holds no file; expected part files")
    if list(found) in ([""], [str(at.system._strip_protocol(str(at)))]):  # the URL of a file
        facts = next(iter(found.values()))
        return (remote(at.name, at, facts),)
    return _checked(at, sorted(found), lambda name: remote(name, at / name, found[name]))


def root(where: str, folders: Sequence[Path]) -> Place:
    """The path or URL. Raises BadData when nothing is there."""
    at = place(where)
    if isinstance(at, Remote):
        if not at.is_dir() and not at.is_file():
            raise BadData.at(where, "nothing is there; give the URL of a file or of a folder with files")
        return at
    if ".." in at.parts:
        raise BadData.at(where, "leads out of its folder; give a path without ..")
    places = [one / at for one in folders]
    found = next((one for one in places if one.exists()), None)
    if found is None:
        looked = ", ".join(dict.fromkeys(str(one) for one in places))
        raise BadData.at(where, f"nothing is at {looked}; put it there, or give the path where it lies")
    return found.absolute()


def on_disk(name: str, path: Path) -> StoredFile:
    facts = path.stat()
    return StoredFile(name, str(path), facts.st_size, disk_tag(facts))


def disk_tag(facts: os.stat_result) -> str:
    return f"modified:{facts.st_mtime_ns}"


def remote(name: str, at: Remote, facts: Mapping[str, Any]) -> StoredFile:
    return StoredFile(name, str(at), int(facts["size"]), remote_tag(facts))


def remote_tag(facts: Mapping[str, Any]) -> str:
    """The tag of an object; where the store has none, its modification time."""
    if etag := facts.get("ETag"):
        return f"etag:{str(etag).strip(chr(34))}"
    return f"modified:{facts.get('mtime') or facts.get('LastModified')}"


def partition(name: str) -> dict[str, str | None]:
    """Values of the partition columns in the folders of a relative path; other folders name no column."""
    pairs = [folder.partition("=") for folder in name.split("/")[:-1]]
    return {unquote(key): None if value == NULL else unquote(value) for key, sign, value in pairs if key and sign}


def _checked(at: Place, names: Sequence[str], file: Any) -> tuple[StoredFile, ...]:
    reserved = next((name for name in names if _RESERVED.search(name)), None)
    if reserved is not None:
        raise BadData.at(at, f"{reserved!r}: a partition column begins with _, as what Hadoop ignores; rename it")
    shown = part_files.visible(at, names)
    by_columns: dict[tuple[str, ...], str] = {}
    for name in shown:
        by_columns.setdefault(tuple(partition(name)), name)
    if len(by_columns) > 1:
        (one, first), (other, second) = list(by_columns.items())[:2]
        found = f"{first!r} has the partition columns {list(one)}, and {second!r} {list(other)}"
        raise BadData.at(at, f"{found}; give a folder in which all files have the same")
    return tuple(file(name) for name in shown)


def _refuse(error: OSError) -> NoReturn:
    raise BadEnvironment.at(
        error.filename, f"cannot be listed ({error.strerror}); look at its owner and its permissions"
    )


def paths_below(root: Place) -> Iterator[PurePosixPath]:
    """Relative paths of all files below a folder. Links are followed, except to a parent folder."""
    if isinstance(root, Remote):
        yield from map(PurePosixPath, root.files())
        return
    for folder, names, files in os.walk(root, followlinks=True, onerror=_refuse):
        here = Path(folder)
        way = [one.resolve() for one in (here, *here.parents)]
        # a link to a parent folder would be an infinite loop
        names[:] = [name for name in names if not is_hidden(name) and (here / name).resolve() not in way]
        for name in files:
            if any(
                0xD800 <= ord(letter) < 0xE000 for letter in name
            ):  # surrogates, Python's escapes for bytes that are no UTF-8
                raise BadData.at(repr(here / name), "its name is not UTF-8; give it another one")
            if (here / name).is_file():
                yield PurePosixPath((here / name).relative_to(root))
            elif (here / name).is_symlink() and not is_hidden(name):
                raise BadData.at(here / name, "is a link that leads nowhere; correct or remove it")
