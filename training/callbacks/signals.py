"""Leaves in order when asked to: a signal ends the run after the current step, with its state saved."""

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
    """Takes a checkpoint and raises Stopped after the step during which SIGINT or SIGTERM came.

    After the last step of an epoch comes the look at valid first. A second signal of the kind has its usual effect at
    once. It stands behind all that a step changes, as `last` does.
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
        self._restore()  # first: a signal that came in between would be noted, and nobody would look any more
        self._leave(trainer)

    def on_exception(self, trainer: lightning.Trainer, task: Any, exception: BaseException) -> None:
        # not in `teardown`: by then Lightning has put its own handlers away, and these would come back
        self._restore()

    def _leave(self, trainer: lightning.Trainer) -> None:
        # a signal may come to one rank alone, or to each in another step
        came = self.place.agree(self._came or 0)
        if came:
            raise Stopped(came, self.last.save(trainer))

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._came = number
        # of this kind alone: who starts the ranks may pass on an interrupt as a request to end
        signal.signal(number, self._before.pop(number))

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
