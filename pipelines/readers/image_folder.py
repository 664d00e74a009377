"""Images in a folder with one subfolder per class or per clip."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from millstream.pipelines.readers.hidden_files import is_hidden
from millstream.pipelines.readers.images import is_image
from millstream.pipelines.table import OriginFile
from millstream.tracking.dataset.filesystems import Place, Remote, files_below, place
from millstream.tracking.errors import BadData, BadEnvironment

EMPTY = "the folder is empty"


@dataclass(frozen=True)
class Sorted:
    """The files of such a folder, images and quarantined ones."""

    images: Mapping[str, Path]
    """Path of each `<folder>/<file>` that is an image by suffix or content."""
    aside: Mapping[str, str]
    """Reason why each other file, and each empty folder, is quarantined."""


def listed(folder: str, folders: Sequence[Path], kind: str, things: str) -> tuple[OriginFile, ...]:
    """All files below a folder, sorted, without hidden ones; it is a URL, or in the first of `folders` that has it.

    Raises BadData when there is no such folder, a link in it is broken, or it has no file `<kind>/<name>`.
    """
    where = place(folder)
    places: list[Place] = [where] if isinstance(where, Remote) else [one / where for one in folders]
    root = next((one for one in places if one.is_dir()), None)
    if root is None:
        looked = ", ".join(dict.fromkeys(str(one) for one in places))
        message = f"no such folder in {looked}; data.source.folder holds a folder of {things} for each {kind}"
        raise BadData.at(folder, message)
    paths = sorted(path for path in paths_below(root) if not is_hidden(path))
    if not any(len(path.parts) == 2 for path in paths):
        raise BadData.at(root, f"no {things} in it; expected <{kind}>/<name>")
    return tuple(OriginFile(str(where / str(path))) for path in paths)


def sort(folder: str, files: Mapping[str, Path], kind: str, things: str) -> Sorted:
    """Classifies the `listed` files, by their paths below the folder. Raises BadData when none of them is an image."""
    root = PurePosixPath(str(place(folder)))
    below = {PurePosixPath(name).relative_to(root): path for name, path in files.items()}
    reasons = {path: _unfit(path, file) for path, file in below.items()}
    aside = {str(path): why for path, why in reasons.items() if why}
    images = {str(path): file for path, file in below.items() if not reasons[path]}
    if not images:
        raise BadData.at(folder, f"no {things} in it, but {len(aside)} other files; expected <{kind}>/<name>")
    return Sorted(images, aside | {f"{name}/": EMPTY for name in _empty(below)})


def _unfit(path: PurePosixPath, file: Path) -> str:
    """Why a file is no image of the folder; empty if it is one."""
    if len(path.parts) != 2:
        return "lies beside the folders" if len(path.parts) == 1 else "lies in a folder of a folder"
    return "" if is_image(file) else "is not an image in a supported format"


def _empty(below: Mapping[PurePosixPath, Path]) -> list[str]:
    """Empty folders; a remote store has none."""
    roots = {file.parents[len(path.parts) - 1] for path, file in below.items()}
    beside = (one for root in roots for one in root.iterdir() if one.is_dir() and not is_hidden(one.name))
    return sorted(one.name for one in beside if all(map(is_hidden, files_below(one))))


def _refuse(error: OSError) -> None:
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
