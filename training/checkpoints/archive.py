"""Files of tensors that are written atomically, detect corruption, and hold no code: checkpoints and models.

A file is torch's zip archive with a seal: the SHA-256 of all preceding bytes is the archive's comment, which readers
ignore. `torch.load(file, weights_only=True)` reads it.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import torch

from millstream.tracking.errors import BadEnvironment, TrainingFailed
from millstream.tracking.host.disk_full import is_full, no_room

if TYPE_CHECKING:
    from millstream.training.distributed.ranks import Ranks

BEST = "best.ckpt"
DAMAGED = ".damaged"
"""Suffix of a quarantined checkpoint."""
LAST = re.compile(r"step-(\d+)\.ckpt")
END_RECORD = b"PK\x05\x06"
SEAL_BYTES = 64
"""Length of a hex SHA-256, which is the archive's whole comment."""
CHUNK = 1 << 20


def path_of(folder: Path, step: int) -> Path:
    """Path of the checkpoint after `step` steps. It has no timestamp, so that a clock jump cannot change the order."""
    return folder / f"step-{step:08}.ckpt"


def newest_first(folder: Path) -> list[Path]:
    """The checkpoints of a run, in descending order of steps."""
    found = {path: LAST.fullmatch(path.name) for path in folder.glob("step-*.ckpt")}
    return sorted((path for path, match in found.items() if match), key=step_of, reverse=True)


def step_of(path: Path) -> int:
    """Number of steps before a checkpoint."""
    return int(path.stem.partition("-")[2])


def newest_whole(folder: Path, say: Callable[[str], None]) -> Path | None:
    """The checkpoint to resume from; None where there was none at all.

    Damaged checkpoints are quarantined under another name and reported. Raises TrainingFailed when all are damaged,
    quarantined now or before.
    """
    for path in newest_first(folder):
        if is_whole(path, say, "the one before it is taken"):
            return path
    if any(folder.glob(f"step-*.ckpt{DAMAGED}")):
        raise TrainingFailed.at(folder, "no whole checkpoint is left; train from the start with --fresh")
    return None


def is_whole(path: Path, say: Callable[[str], None], then: str) -> bool:
    """Whether a checkpoint can be loaded. A damaged one is quarantined under another name and reported, with the
    consequence `then`."""
    try:
        load(path)
    except TrainingFailed as damaged:
        message = str(damaged)
        if path.exists():
            aside = path.with_name(f"{path.name}{DAMAGED}")
            path.replace(aside)
            message += f"; it is now called {aside.name}"
        say(f"{message}, and {then}")
        return False
    return True


def sweep(folder: Path) -> None:
    """Remove temporary files of a process that died while saving a checkpoint; the folder is this run's alone."""
    for left in folder.glob(".*.ckpt.*"):
        left.unlink(missing_ok=True)


def save(content: dict[str, Any], path: Path) -> None:
    """Write `content` to `path` atomically: a reader sees the old file or the new one.

    Raises BadEnvironment when the disk is full; the old file stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("w+b") as file:
            torch.save(content, file)
            _seal(file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except (OSError, RuntimeError) as error:
        beside.unlink(missing_ok=True)
        if is_full(error):  # torch closes its archive after a failed write; that fails too and raises its own error
            message = no_room(path.parent, _size(content))
            raise BadEnvironment.at(path, f"{message} and resume: the checkpoint before is kept") from error
        raise
    finally:
        beside.unlink(missing_ok=True)
    _sync_folder(path.parent)


def copy(path: Path, folder: Path) -> None:
    """Copy a checkpoint, if it exists, into another run's folder, atomically."""
    beside = folder / f".{path.name}.{os.getpid()}"
    try:
        shutil.copyfile(path, beside)
        beside.replace(folder / path.name)
    except FileNotFoundError:
        return
    except OSError as error:
        if is_full(error):
            message = no_room(folder, path.stat().st_size)
            raise BadEnvironment.at(folder / path.name, f"{message} and resume") from error
        raise
    finally:
        beside.unlink(missing_ok=True)


def load(path: Path) -> dict[str, Any]:
    """Tensors and plain values. Raises TrainingFailed for a file that is damaged or contains code."""
    try:
        with path.open("rb") as file:
            return _loaded(file, path)
    except FileNotFoundError:
        raise TrainingFailed.at(path, "no checkpoint there") from None


def load_for_all(path: Path, place: Ranks) -> dict[str, Any]:
    """`load` on all ranks from rank 0's file: only rank 0 writes, and other hosts may lack the file."""
    if place.is_alone:
        return load(path)
    content = place.broadcast(path.read_bytes() if place.is_first and path.exists() else b"")
    if not content:
        raise TrainingFailed.at(path, "no checkpoint there")
    return _loaded(io.BytesIO(content), path)


def _loaded(file: IO[bytes], path: Path) -> dict[str, Any]:
    fault = _broken(file)
    if fault is not None:
        raise TrainingFailed.at(path, f"not a whole checkpoint: {fault}")
    file.seek(0)
    try:
        content: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a dozen types for a foreign archive, all meaning the same here
        raise TrainingFailed.at(path, f"not a checkpoint of tensors: {error}") from error
    return content


class _Counted(io.BytesIO):
    """A sink that only counts bytes."""

    size = 0

    def write(self, some: Any) -> int:
        self.size += len(some)
        return len(some)


def _size(content: dict[str, Any]) -> int:
    """Size in bytes of a checkpoint of this content."""
    counted = _Counted()
    torch.save(content, counted)
    return counted.size + SEAL_BYTES


def _seal(file: IO[bytes]) -> None:
    """Write the archive's hash into its comment at the end of the file, which is empty until now."""
    end = file.seek(-22, os.SEEK_END)
    record = file.read()
    if not record.startswith(END_RECORD):
        raise ValueError("torch has written an archive that does not end in its directory")
    file.seek(end + 20)
    file.write(SEAL_BYTES.to_bytes(2, "little"))
    file.write(_hash(file, end + 22).encode())


def _broken(file: IO[bytes]) -> str | None:
    """The fault of a sealed file, or None."""
    size = file.seek(0, os.SEEK_END)
    if size < SEAL_BYTES + 22:
        return f"cut off after {size} bytes"
    file.seek(-SEAL_BYTES, os.SEEK_END)
    seal = file.read()
    if _hash(file, size - SEAL_BYTES).encode() != seal:
        return "its bytes are not those that were written (SHA-256)"
    return None


def _hash(file: IO[bytes], size: int) -> str:
    """Hex SHA-256 of the first `size` bytes."""
    file.seek(0)
    digest = hashlib.sha256()
    while size:
        piece = file.read(min(CHUNK, size))
        digest.update(piece)
        size -= len(piece)
    return digest.hexdigest()


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
