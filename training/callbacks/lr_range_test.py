"""Learning rate range test: raises the learning rate from batch to batch and records the loss.

Source: Smith 2017, arXiv 1506.01186, section 3.3. Differs from it: the rate grows geometrically, not linearly, so that
each order of magnitude gets as many batches.
"""

from __future__ import annotations

import math
from typing import Any

import pytorch_lightning as lightning

LOWEST, HIGHEST = 1e-6, 10.0
BATCHES = 100
WORSE = 4.0
"""The test ends when the loss exceeds this multiple of the best so far."""
SMOOTHING = 0.9


class RateRange(lightning.Callback):
    """`course` holds (learning rate, smoothed loss) per batch."""

    def __init__(self) -> None:
        self.course: list[tuple[float, float]] = []
        self._mean = 0.0
        self._rate = LOWEST

    def on_train_batch_start(self, trainer: lightning.Trainer, task: Any, batch: Any, index: int) -> None:
        self._rate = LOWEST * (HIGHEST / LOWEST) ** (len(self.course) / (BATCHES - 1))
        for optimizer in trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self._rate

    def on_train_batch_end(self, trainer: lightning.Trainer, task: Any, outputs: Any, batch: Any, index: int) -> None:
        loss = float(outputs["train/loss"])
        if task.untaken or not math.isfinite(loss):
            trainer.should_stop = True
            return
        self._mean = SMOOTHING * self._mean + (1 - SMOOTHING) * loss
        smoothed = self._mean / (1 - SMOOTHING ** (len(self.course) + 1))
        self.course.append((self._rate, smoothed))
        best = min(value for _, value in self.course)
        trainer.should_stop = len(self.course) == BATCHES or smoothed > WORSE * best
