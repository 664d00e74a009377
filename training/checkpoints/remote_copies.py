"""Copies of a run's checkpoints in a store, from which the run is resumed on any host."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from millstream.tracking.dataset.filesystems import Remote, answering
from millstream.tracking.errors import TrainingFailed
from millstream.training.checkpoints import archive

BEFORE = "the one before it is taken"


def newest_first(copies: Remote | None) -> list[str]:
    """Names of a run's checkpoints in the store, in descending order of steps; none without a store.

    Raises BadEnvironment if the store does not answer.
    """
    try:
        found = [one.name for one in copies.iterdir()] if copies else []
    except FileNotFoundError:
        return []
    return sorted(filter(archive.LAST.fullmatch, found), key=_step, reverse=True)


def newest_whole(copies: Remote | None, folder: Path, say: Callable[[str], None]) -> Path | None:
    """The checkpoint to resume from, the newest of the run's folder and of the store, from where it is brought into the
    folder together with the best weights; None where there was none at all.

    Damaged ones are quarantined under another name, in the store too, and reported. Raises TrainingFailed when all are
    damaged, BadEnvironment if the store does not answer.
    """
    there = newest_first(copies)
    here = [path.name for path in archive.newest_first(folder)]
    for name in sorted({*there, *here}, key=_step, reverse=True):
        path = folder / name
        if name in here and archive.is_whole(path, say, BEFORE):
            return path
        if copies and name in there and _is_fetched(copies, path, say):
            return path
    if there:
        raise TrainingFailed.at(copies, "no whole checkpoint is left; train from the start with --fresh")
    return archive.newest_whole(folder, say)


def _is_fetched(copies: Remote, path: Path, say: Callable[[str], None]) -> bool:
    best, copy = path.with_name(archive.BEST), copies / path.name
    if not _fetched(copy, path):
        return False  # removed since it was listed
    aside = f"{copy}{archive.DAMAGED}"
    if not archive.is_whole(path, say, f"so is {copy}, where it came from: {BEFORE}"):
        with answering(str(copy)):
            copy.system.mv(str(copy), aside)
        return False
    if not _fetched(copies / archive.BEST, best):
        best.unlink(missing_ok=True)  # one of an earlier state
    return True


def _fetched(copy: Remote, path: Path) -> bool:
    """Download a file atomically; False if it does not exist."""
    beside = path.with_name(f".{path.name}.fetched")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with answering(str(copy)):
            copy.system.get_file(str(copy), str(beside))
    except FileNotFoundError:
        return False
    beside.replace(path)
    return True


def _step(name: str) -> int:
    return archive.step_of(Path(name))
