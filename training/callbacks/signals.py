"""Graceful stop: a signal ends the run after the current step, with a checkpoint."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any

import pytorch_lightning as lightning
from pytorch_lightning.callbacks import Checkpoint

from millstream.tracking.errors import Stopped
from millstream.training.callbacks.save_checkpoint import Last
from millstream.training.distributed.ranks import Ranks

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopOnSignal(Checkpoint):
    """Saves a checkpoint and raises Stopped after the step during which SIGINT or SIGTERM arrived.

    After the last step of an epoch, validation runs first. A second signal of the same kind has its usual effect at
    once. Like `last`, it follows all callbacks whose state a step changes.
    """

    def __init__(self, last: Last, place: Ranks) -> None:
        self.last, self.place = last, place
        self._came: int | None = None
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: lightning.Trainer, task: Any) -> None:
        self._before = {number: signal.signal(number, self._note) for number in SIGNALS}

    def on_train_batch_end(self, trainer: lightning.Trainer, task: Any, outputs: Any, batch: Any, index: int) -> None:
        if not trainer.is_last_batch:
            self._leave(trainer)

    def on_train_epoch_end(self, trainer: lightning.Trainer, task: Any) -> None:
        self._leave(trainer)

    def on_train_end(self, trainer: lightning.Trainer, task: Any) -> None:
        self._restore()  # first: a signal arriving later would be recorded and never handled
        self._leave(trainer)

    def on_exception(self, trainer: lightning.Trainer, task: Any, exception: BaseException) -> None:
        # not in `teardown`: by then Lightning has removed its own handlers, and these would be restored
        self._restore()

    def _leave(self, trainer: lightning.Trainer) -> None:
        # a signal may reach one rank alone, or each rank in another step
        came = self.place.agree(self._came or 0)
        if came:
            raise Stopped(came, self.last.save(trainer))

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._came = number
        # of this kind alone: the launcher may forward an interrupt as SIGTERM
        signal.signal(number, self._before.pop(number))

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
