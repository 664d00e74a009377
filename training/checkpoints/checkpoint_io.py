"""Checkpoints as Lightning writes and reads them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytorch_lightning.plugins.io import CheckpointIO
from torch import Tensor, nn

from millstream.tracking.errors import Fault, WrongRecipe
from millstream.training.checkpoints import archive
from millstream.training.checkpoints.provenance import KEY, Provenance
from millstream.training.distributed.ranks import Ranks


class WholeCheckpoints(CheckpointIO):
    """Writes a temporary file in the same folder, then renames; loads only tensors and plain values.

    Each file records its recipe and dataset version, and is loaded only for a run of the same.
    """

    def __init__(
        self, provenance: Provenance, module: nn.Module, place: Ranks, saved: Callable[[Path], None] | None = None
    ) -> None:
        """`saved` is called with each file that was written."""
        self.provenance, self.module, self.place, self.saved = provenance, module, place, saved

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        archive.save({**checkpoint, KEY: self.provenance.facts}, Path(path))
        if self.saved:
            self.saved(Path(path))

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Raises WrongRecipe with every difference from this run's recipe, data or code."""
        content = archive.load_for_all(Path(path), self.place)
        self.provenance.check(content.get(KEY, {}))
        WrongRecipe.unless_empty(_differences(Path(path), content["state_dict"], self.module.state_dict()))
        return content

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)


def _differences(path: Path, saved: dict[str, Tensor], own: dict[str, Tensor]) -> list[Fault]:
    """A fault per weight that differs in shape or exists on one side only: the sign of changed code."""
    found = []
    for name in sorted(saved.keys() | own.keys()):
        before, now = (tuple(side[name].shape) if name in side else None for side in (saved, own))
        if before != now:
            message = f"{name}: {_shown(before)} in the checkpoint, {_shown(now)} in this code"
            found.append(Fault(where=str(path), message=f"{message}; go back to that code, or train with --fresh"))
    return found


def _shown(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else f"shape {shape}"
