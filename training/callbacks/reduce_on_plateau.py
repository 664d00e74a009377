"""Reduces the learning rate when the monitored metric no longer improves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytorch_lightning as lightning

from millstream.training.callbacks.monitor import Watch
from millstream.training.config.schedules import Plateau

if TYPE_CHECKING:
    from millstream.training.config.fit import Fit


class LowerOnPlateau(Watch):
    """Multiplies the base learning rate of every schedule, so that a preceding warm-up keeps its shape.

    The base rate is part of the schedule's state in the checkpoint.
    """

    def __init__(self, fit: Fit, plateau: Plateau) -> None:
        super().__init__(fit, least=plateau.least)
        self.plateau = plateau

    def waiting(self, trainer: lightning.Trainer, task: Any) -> None:
        if self.waited < self.plateau.patience:
            return
        self.waited = 0
        for config in trainer.lr_scheduler_configs:
            schedule: Any = config.scheduler
            for at, group in enumerate(schedule.optimizer.param_groups):
                floor = group["initial_lr"] * self.plateau.floor
                lowered = max(schedule.base_lrs[at] * self.plateau.by, floor)
                group["lr"] *= lowered / schedule.base_lrs[at]
                schedule.base_lrs[at] = lowered
