"""Saves checkpoints of training, so that a run can be resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
from pytorch_lightning.callbacks import Checkpoint

from millstream.training.checkpoints import archive

STATE = "feed and end"


class Last(Checkpoint):
    """Keeps the `keep` newest checkpoints in `folder`: one every `every` batches, or one per epoch.

    None is saved right after the last batch of an epoch: a run resumed from it would skip the validation.
    """

    def __init__(self, folder: Path, *, every: int | None, keep: int) -> None:
        self.folder, self.every, self.keep = folder, every, keep
        self.batches = 0
        """Batches since the last checkpoint."""
        self._found: dict[str, Any] = {}

    def save(self, trainer: lightning.Trainer) -> Path:
        """Save a checkpoint now; return its path."""
        path = archive.path_of(self.folder, trainer.global_step)
        trainer.save_checkpoint(path)
        for old in archive.newest_first(self.folder)[self.keep :] if trainer.is_global_zero else ():
            old.unlink()
        self.batches = 0
        return path

    def on_train_start(self, trainer: lightning.Trainer, task: Any) -> None:
        if self._found:
            trainer.should_stop = self._found["is_over"]
            feed: Any = trainer.train_dataloader
            feed.load_state_dict(self._found["feed"])

    def on_train_batch_end(self, trainer: lightning.Trainer, task: Any, outputs: Any, batch: Any, index: int) -> None:
        self.batches += 1
        if self.every and self.batches >= self.every and not trainer.is_last_batch:
            self.save(trainer)

    def on_train_epoch_end(self, trainer: lightning.Trainer, task: Any) -> None:
        is_end = trainer.should_stop or trainer.current_epoch + 1 == trainer.max_epochs
        if is_end or self.batches >= (self.every or 0):
            self.save(trainer)

    def on_save_checkpoint(self, trainer: lightning.Trainer, task: Any, checkpoint: dict[str, Any]) -> None:
        # Lightning does not save `should_stop`, and restores the feed's position only inside an epoch
        feed: Any = trainer.train_dataloader
        checkpoint[STATE] = {"is_over": trainer.should_stop, "feed": feed.state_dict()}

    def on_load_checkpoint(self, trainer: lightning.Trainer, task: Any, checkpoint: dict[str, Any]) -> None:
        self._found = checkpoint[STATE]
