"""Early stopping on the monitored metric."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytorch_lightning as lightning

from millstream.training.callbacks.monitor import Watch
from millstream.training.config.early_stopping import EarlyStop

if TYPE_CHECKING:
    from millstream.training.config.fit import Fit


class StopEarly(Watch):
    def __init__(self, fit: Fit, config: EarlyStop) -> None:
        super().__init__(fit, least=config.least)
        self.patience = config.patience

    def waiting(self, trainer: lightning.Trainer, task: Any) -> None:
        if self.waited >= self.patience:
            trainer.should_stop = True
