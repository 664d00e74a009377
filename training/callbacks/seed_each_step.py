"""Seeds each step by its position: a run resumed anywhere draws the same random numbers."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as lightning

from millstream.tracking.seeds import key
from millstream.training.optimization import rng


class KeyedDraws(lightning.Callback):
    """Seeds torch's generators before each batch by (seed, stage, epoch, batch, rank)."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(self, trainer: lightning.Trainer, task: Any, batch: Any, index: int) -> None:
        rng.seed(key(self.seed, "step", trainer.current_epoch, index, trainer.global_rank))

    def on_validation_batch_start(
        self, trainer: lightning.Trainer, task: Any, batch: Any, index: int, loader: int = 0
    ) -> None:
        rng.seed(key(self.seed, "valid", index, trainer.global_rank))

    def on_test_batch_start(
        self, trainer: lightning.Trainer, task: Any, batch: Any, index: int, loader: int = 0
    ) -> None:
        rng.seed(key(self.seed, "test", index, trainer.global_rank))
