"""Checkpoints that are there whole or not at all, and that hold no code."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import CheckpointIO

from tracking.faults import BadEnvironment, TrainingFailed
from training.provenance import KEY, Provenance

LAST = "last.ckpt"
BEST = "best.ckpt"


class WholeCheckpoints(CheckpointIO):
    """Writes beside the target, in the same folder, then renames; reads tensors and plain values alone.

    Each file says which recipe and dataset version it is of, and is read for a run of the same alone.
    """

    def __init__(self, provenance: Provenance) -> None:
        self.provenance = provenance

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        save({**checkpoint, KEY: self.provenance.facts}, Path(path))

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        content = load(Path(path))
        self.provenance.check(content.get(KEY, {}))
        return content

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)


def save(content: dict[str, Any], path: Path) -> None:
    """Put `content` at `path` in one step: a reader sees the old file or the new one.

    Raises BadEnvironment when the disk is full; the file that was there stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise BadEnvironment.at(
                path, "the disk is full; the checkpoint before is kept, make room and resume"
            ) from error
        raise
    finally:
        beside.unlink(missing_ok=True)
    _sync_folder(path.parent)


def load(path: Path) -> dict[str, Any]:
    """Tensors and plain values. Raises TrainingFailed for a file that is damaged or would run code."""
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise TrainingFailed.at(path, "no checkpoint there; the run left none, train it from the start") from None
    except Exception as error:  # torch raises a dozen kinds for a damaged archive, all of them mean the same here
        raise TrainingFailed.at(path, f"not a whole checkpoint of tensors: {error}") from error
    return content


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
