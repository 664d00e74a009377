"""Images in a folder with one subfolder per class or per clip."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Generic, TypeVar

from millstream.pipelines.readers.hidden_files import is_hidden
from millstream.pipelines.readers.images import is_image
from millstream.pipelines.readers.stored import listing
from millstream.pipelines.readers.stored.listing import paths_below
from millstream.pipelines.table import OriginFile, StoredFile
from millstream.tracking.dataset.filesystems import Place, Remote, files_below, place
from millstream.tracking.errors import BadData

EMPTY = "the folder is empty"
NO_IMAGE = "is not an image in a supported format"


File = TypeVar("File", Path, StoredFile)


@dataclass(frozen=True)
class Sorted(Generic[File]):
    """The files of such a folder, images and quarantined ones."""

    images: Mapping[str, File]
    """Each `<folder>/<file>` that is an image by suffix or content."""
    aside: Mapping[str, str]
    """Reason why each other file, and each empty folder, is quarantined."""


def listed(folder: str, folders: Sequence[Path], kind: str, things: str) -> tuple[OriginFile, ...]:
    """All files below a folder, sorted, without hidden ones; it is a URL, or in the first of `folders` that has it.

    Raises BadData when there is no such folder, a link in it is broken, or it has no file `<kind>/<name>`.
    """
    where = place(folder)
    root = _root(folder, folders, kind, things)
    return tuple(OriginFile(str(where / str(path))) for path in _shown(root, paths_below(root), kind, things))


def stored(folder: str, folders: Sequence[Path], kind: str, things: str) -> tuple[StoredFile, ...]:
    """As `listed`, to be read where they lie."""
    where = place(folder)
    root = _root(folder, folders, kind, things)
    facts = root.files() if isinstance(root, Remote) else {}
    paths = map(PurePosixPath, facts) if isinstance(root, Remote) else paths_below(root)
    return tuple(
        listing.remote(str(where / str(path)), root / str(path), facts[str(path)])
        if isinstance(root, Remote)
        else listing.on_disk(str(where / str(path)), root / path)
        for path in _shown(root, paths, kind, things)
    )


def _root(folder: str, folders: Sequence[Path], kind: str, things: str) -> Place:
    where = place(folder)
    places: list[Place] = [where] if isinstance(where, Remote) else [(one / where).absolute() for one in folders]
    root = next((one for one in places if one.is_dir()), None)
    if root is None:
        looked = ", ".join(dict.fromkeys(str(one) for one in places))
        message = f"no such folder in {looked}; data.source.folder holds a folder of {things} for each {kind}"
        raise BadData.at(folder, message)
    return root


def _shown(root: Place, paths: Iterable[PurePosixPath], kind: str, things: str) -> list[PurePosixPath]:
    shown = sorted(path for path in paths if not is_hidden(path))
    if not any(len(path.parts) == 2 for path in shown):
        raise BadData.at(root, f"no {things} in it; expected <{kind}>/<name>")
    return shown


def sort(
    folder: str, files: Mapping[str, File], kind: str, things: str, are_images: Callable[[list[File]], list[bool]]
) -> Sorted[File]:
    """Classifies the `listed` or `stored` files, by their paths below the folder.

    Raises BadData when none of them is an image.
    """
    root = PurePosixPath(str(place(folder)))
    below = {PurePosixPath(name).relative_to(root): path for name, path in files.items()}
    reasons = {path: _misplaced(path) for path in below}
    placed = [path for path, reason in reasons.items() if not reason]
    found = are_images([below[path] for path in placed])
    reasons |= {path: NO_IMAGE for path, is_one in zip(placed, found, strict=True) if not is_one}
    aside = {str(path): why for path, why in reasons.items() if why}
    images = {str(path): file for path, file in below.items() if not reasons[path]}
    if not images:
        raise BadData.at(folder, f"no {things} in it, but {len(aside)} other files; expected <{kind}>/<name>")
    return Sorted(images, aside | {f"{name}/": EMPTY for name in _empty(below)})


def on_this_machine(files: Sequence[Path]) -> list[bool]:
    """Whether each file is an image, by its suffix or content."""
    return [is_image(file) for file in files]


def _misplaced(path: PurePosixPath) -> str:
    """Why a file is not in one of the folders; empty if it is."""
    if len(path.parts) == 2:
        return ""
    return "lies beside the folders" if len(path.parts) == 1 else "lies in a folder of a folder"


def _empty(below: Mapping[PurePosixPath, Path | StoredFile]) -> list[str]:
    """Empty folders; a remote store has none."""
    paths = {path: place(file.where) if isinstance(file, StoredFile) else file for path, file in below.items()}
    roots = {file.parents[len(path.parts) - 1] for path, file in paths.items() if isinstance(file, Path)}
    beside = (one for root in roots for one in root.iterdir() if one.is_dir() and not is_hidden(one.name))
    return sorted(one.name for one in beside if all(map(is_hidden, files_below(one))))
