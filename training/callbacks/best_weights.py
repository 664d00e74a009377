"""Keeps the weights of the best monitored metric."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytorch_lightning as lightning

from millstream.training.callbacks.monitor import Watch
from millstream.training.checkpoints import archive

if TYPE_CHECKING:
    from millstream.training.config.fit import Fit


class Best(Watch):
    """Writes the network's weights into `file`.

    It precedes weight averaging in the list of callbacks: at the end of a validation the averaged network is still
    active.
    """

    def __init__(self, fit: Fit, file: Path, saved: Callable[[Path], None] | None = None) -> None:
        """`saved` is called with the file when it was written."""
        super().__init__(fit)
        self.file, self.saved = file, saved

    def on_fit_start(self, trainer: lightning.Trainer, task: Any) -> None:
        # a checkpoint has been loaded: this run is resumed, and the file is from before the interruption
        then = f"the best weights so far are lost: the best from here on are kept ({self.fit.monitor} was {self.best})"
        if self.best is not None and trainer.is_global_zero and not archive.is_whole(self.file, _say, then):
            self.best = None

    def better(self, trainer: lightning.Trainer, task: Any) -> None:
        if trainer.is_global_zero:
            archive.save({"network": task.network.state_dict(), self.fit.monitor: self.best}, self.file)
            if self.saved:
                self.saved(self.file)


def _say(message: str) -> None:
    sys.stderr.write(f"{message}\n")
