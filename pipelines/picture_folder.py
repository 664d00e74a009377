"""The pictures of a folder that holds folders: one for each class, or for each clip."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from pipelines.pictures import SUFFIXES
from pipelines.table import OriginFile
from tracking.faults import BadData
from tracking.remote import Place, Remote, place


def listed(folder: str, folders: Sequence[Path], kind: str, things: str) -> tuple[OriginFile, ...]:
    """The files `<kind>/<name>` of a folder that is a URL, or lies in the first of `folders` that has it, in order.

    Raises BadData when there is no such folder, or none of `things` (pictures, or frames) in it.
    """
    where = place(folder)
    places: list[Place] = [where] if isinstance(where, Remote) else [one / where for one in folders]
    root = next((one for one in places if one.is_dir()), None)
    if root is None:
        looked = ", ".join(dict.fromkeys(str(one) for one in places))
        told = f"no such folder in {looked}; data.source.folder holds a folder of {things} for each {kind}"
        raise BadData.at(folder, told)
    found = sorted(path for path in _two_below(root) if path.suffix.lower() in SUFFIXES)
    if not found:
        raise BadData.at(root, f"no {things} in it; expected <{kind}>/<name>, ending in {', '.join(SUFFIXES)}")
    return tuple(OriginFile(str(where / str(path))) for path in found)


def _two_below(root: Place) -> list[PurePosixPath]:
    if isinstance(root, Remote):
        return [PurePosixPath(name) for name in root.files() if name.count("/") == 1]
    return [PurePosixPath(file.relative_to(root)) for file in root.glob("*/*") if file.is_file()]
