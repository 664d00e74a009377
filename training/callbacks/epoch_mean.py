"""Logs training losses as means over the samples of an epoch, since the loss of one batch is noisy."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as lightning
from torch import Tensor


class EpochMean(lightning.Callback):
    """The losses that a step returns by name, averaged over the epoch's samples so far, without skipped steps.

    Sums stay on the losses' device, so that no step waits for it. They are checkpointed, so that an epoch resumed in
    its middle ends with the mean of the whole epoch. It precedes the guard, which clears `untaken`.
    """

    def __init__(self) -> None:
        self.counts: dict[str, Tensor | float] = {}
        """Denominator of each mean so far, in samples or elements; optimizers may step at different intervals."""
        self.sums: dict[str, Tensor | float] = {}

    def on_train_batch_end(self, trainer: lightning.Trainer, task: Any, outputs: Any, batch: Any, index: int) -> None:
        if outputs and not task.untaken:
            for name, value in outputs.items():
                self.counts[name] = self.counts.get(name, 0) + task.elements
                self.sums[name] = self.sums.get(name, 0.0) + value.double() * task.elements
        if task.has_point and not trainer.is_last_batch:  # that one is logged below
            task.log_dict(self._means())

    def on_train_epoch_end(self, trainer: lightning.Trainer, task: Any) -> None:
        means = self._means()
        task.log_dict(means, logger=False)
        if trainer.logger is not None:
            # immediately: Lightning logs it after the checkpoint is saved, and a run that is stopped there never would
            steps = (trainer.current_epoch + 1) * int(trainer.num_training_batches)
            trainer.logger.log_metrics({name: float(mean) for name, mean in means.items()}, step=steps)
        self.counts, self.sums = {}, {}

    def state_dict(self) -> dict[str, Any]:
        return {
            "counts": {name: float(count) for name, count in self.counts.items()},
            "sums": {name: float(total) for name, total in self.sums.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.counts, self.sums = state["counts"], state["sums"]

    def _means(self) -> dict[str, Tensor | float]:
        return {name: total / self.counts[name] for name, total in self.sums.items()}
