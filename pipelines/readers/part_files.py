"""The part files of a folder that Spark or Hive wrote as one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from millstream.pipelines.readers.file_spec import SplitFile, called_each
from millstream.pipelines.readers.hidden_files import is_hidden
from millstream.pipelines.readers.lines import is_empty
from millstream.pipelines.table import OriginFile
from millstream.tracking.dataset.filesystems import Place, Remote, files_below, place
from millstream.tracking.errors import BadData

_UNFINISHED = "_"
"""Prefix of names, in addition to hidden ones, that Hadoop ignores: success markers, unfinished files."""
_LOGS = ("_delta_log", "_spark_metadata", ".hoodie")
"""Table logs: they define which files are valid, as removed files remain in the folder."""


def parts(file: OriginFile, folders: Sequence[Path]) -> tuple[OriginFile, ...]:
    """The file itself; or the sorted part files in it, if it is a folder and a folder is allowed.

    A path is searched in `folders`. Raises BadData for a folder without part files, or with subfolders.
    """
    if not file.or_folder or file.sha256 is not None or ".." in Path(file.name).parts:
        return (file,)
    where = place(file.name)
    places: list[Place] = [where] if isinstance(where, Remote) else [one / where for one in folders]
    root = next((one for one in places if one.is_dir()), None)
    if root is None or any(one.is_file() for one in places):
        return (file,)
    return tuple(OriginFile(str(where / name)) for name in _names(root, where))


@dataclass(frozen=True)
class Parts:
    """The files read for a file of a recipe: itself, or the part files of the folder."""

    file: SplitFile
    paths: Mapping[str, Path]
    """Paths by the file's name in row ids."""


def located(files: Sequence[SplitFile], paths: Mapping[str, Path]) -> list[Parts]:
    """The part files of each file among the located `paths`; empty parts are left out.

    Raises BadData for a folder whose parts are all empty.
    """
    listed = [_filled(file, paths) for file in files]
    names = called_each(part for parts in listed for part in parts)
    return [
        Parts(file, {names[part.name]: paths[part.name] for part in parts})
        for file, parts in zip(files, listed, strict=True)
    ]


def _filled(file: SplitFile, paths: Mapping[str, Path]) -> list[SplitFile]:
    if file.name in paths:
        return [file]
    folder = str(place(file.name))
    parts = [name for name in paths if name.rpartition("/")[0] == folder]
    filled = [name for name in parts if not is_empty(paths[name])]
    if not filled:
        message = f"all of its {len(parts)} part files are empty; expected rows in one of them: write the table again"
        raise BadData.at(file.name, message)
    return [file.model_copy(update={"name": name}) for name in filled]


def shown(root: Place) -> list[str]:
    """Relative paths of the part files below a folder, without those that Hadoop ignores.

    Raises BadData when a table log defines which of them are valid, or when there is none.
    """
    return visible(root, files_below(root))


def visible(root: Place, names_below: Sequence[str]) -> list[str]:
    """The same, of the relative paths of all files."""
    log = next((log for log in _LOGS if any(name.startswith(f"{log}/") for name in names_below)), None)
    if log is not None:
        raise BadData.at(root, f"holds {log}, by which some of its files do not count; save it as plain files")
    names = [name for name in names_below if not (name.startswith(_UNFINISHED) or "/_" in name or is_hidden(name))]
    if not names:
        message = "no part file in it (names that begin with _ or ., and what systems keep in folders, do not count)"
        raise BadData.at(root, f"{message}; expected files such as part-00000.csv: write the table again")
    return names


def _names(root: Place, where: Place) -> list[str]:
    names = shown(root)
    below = sorted({name.partition("/")[0] for name in names if "/" in name})
    if below:
        message = f"holds the folders {below[:5]}{' and more' if below[5:] else ''}; expected part files"
        would = f"name each of the folders, as `{where / below[0]}`, or give `path: {where}`, by which they are columns"
        raise BadData.at(root, f"{message}: {would}")
    return names
