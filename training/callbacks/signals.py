"""Leaves in order when asked to: a signal ends the run after the current step, with its state saved."""

from __future__ import annotations

import signal
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as lightning

from tracking.faults import Stopped

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopOnSignal(lightning.Callback):
    """Saves `checkpoint` and raises Stopped after the step during which SIGINT or SIGTERM came.

    A second signal of the kind has its usual effect at once.
    """

    def __init__(self, checkpoint: Path) -> None:
        self.checkpoint = checkpoint
        self._came: int | None = None
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: lightning.Trainer, task: Any) -> None:
        self._before = {number: signal.signal(number, self._note) for number in SIGNALS}

    def on_train_batch_end(self, trainer: lightning.Trainer, task: Any, outputs: Any, batch: Any, index: int) -> None:
        if self._came is not None:
            trainer.save_checkpoint(self.checkpoint)
            raise Stopped(self._came, self.checkpoint)

    def teardown(self, trainer: lightning.Trainer, task: Any, stage: str) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._came = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
