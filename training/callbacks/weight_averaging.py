"""Averages the weights during training; the average is validated and becomes the model.

Running statistics of batch norms are averaged, too.
"""

from __future__ import annotations

import sys
from typing import Any

import pytorch_lightning as lightning
from pytorch_lightning.trainer.states import TrainerFn
from torch import nn
from torch.optim.swa_utils import AveragedModel

from millstream.training.config.averaging import EMA, SWA


class Average(lightning.Callback):
    """Swaps in the averaged network for each validation, and permanently at the end of training."""

    def __init__(self, config: EMA | SWA) -> None:
        self.config = config
        self.mean: AveragedModel | None = None
        self.step = -1
        """Step of the last averaged weights: a skipped step adds none."""
        self.trained: nn.Module | None = None
        self._loaded: dict[str, Any] = {}

    def on_fit_start(self, trainer: lightning.Trainer, task: Any) -> None:
        # here the network is on its device, and a checkpoint has been loaded
        self.mean, self.trained = self.config.of(task.network), task.network
        if self._loaded:
            self.mean.load_state_dict(self._loaded)
        self.mean.eval()

    def on_train_batch_end(self, trainer: lightning.Trainer, task: Any, outputs: Any, batch: Any, index: int) -> None:
        done = trainer.current_epoch / (trainer.max_epochs or 1)
        is_taken = trainer.global_step != self.step and self.config.takes(done, ends_epoch=trainer.is_last_batch)
        if self.mean is not None and is_taken:
            self.mean.update_parameters(task.network)
            self.step = trainer.global_step

    def on_validation_start(self, trainer: lightning.Trainer, task: Any) -> None:
        if trainer.state.fn == TrainerFn.FITTING:
            self._stand_in(task)

    def on_validation_end(self, trainer: lightning.Trainer, task: Any) -> None:
        if trainer.state.fn == TrainerFn.FITTING:
            task.network = self.trained

    def on_fit_end(self, trainer: lightning.Trainer, task: Any) -> None:
        if self.mean is not None and not int(self.mean.n_averaged) and trainer.is_global_zero:
            sys.stderr.write(
                "fit.average: training ended before the first weights of the mean; the last ones are kept\n"
            )
        self._stand_in(task)

    def state_dict(self) -> dict[str, Any]:
        return {"mean": dict(self.mean.state_dict()), "step": self.step} if self.mean is not None else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._loaded, self.step = state["mean"], state["step"]

    def _stand_in(self, task: Any) -> None:
        # no average before the first weights are included
        if self.mean is not None and int(self.mean.n_averaged):
            task.network = self.mean.module
