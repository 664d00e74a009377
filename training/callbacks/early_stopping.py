"""Ends training when the watched metric does not become better any more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytorch_lightning as lightning
from pydantic import BaseModel, Field

from millstream.training.callbacks.monitor import Watch

if TYPE_CHECKING:
    from millstream.training.config.fit import Fit


class EarlyStop(BaseModel, frozen=True, extra="forbid"):
    """Prechelt 1998, doi:10.1007/3-540-49430-8_3. `keep: best` keeps the weights from before the wait."""

    patience: int = Field(ge=1, description="looks at valid in a row, none better than the best, before the end")
    least: float = Field(0.0, ge=0, description="how much better counts as better")


class StopEarly(Watch):
    def __init__(self, fit: Fit, config: EarlyStop) -> None:
        super().__init__(fit, least=config.least)
        self.patience = config.patience

    def waiting(self, trainer: lightning.Trainer, task: Any) -> None:
        if self.waited >= self.patience:
            trainer.should_stop = True
