"""Logs the trainer's metrics to the run, and keeps their history for the learning curves."""

from __future__ import annotations

import time
from typing import Any

import pytorch_lightning as lightning
from pytorch_lightning.loggers.logger import Logger
from pytorch_lightning.trainer.states import TrainerFn
from pytorch_lightning.utilities import rank_zero_only

from millstream.tracking.runs.run import Run
from millstream.training.feed.feed import Feed


class RunLogger(Logger):
    """Logs Lightning's metrics, under the tasks' names, to one run."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run = run

    @property
    def name(self) -> str:
        return "millstream"

    @property
    def version(self) -> str:
        return str(self.run.id)

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        named = {name: float(value) for name, value in metrics.items() if "/" in name}
        if named:
            self.run.metrics(named, step=step or 0)

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Does nothing: the run logs the resolved recipe once."""


DRAWN = 2
"""Number of weights of a network whose path on the loss surface can be drawn."""


class History(lightning.Callback):
    """History of each metric as [[step, value], ...]; it is checkpointed, so that curves survive a resume."""

    def __init__(self) -> None:
        self.curves: dict[str, list[list[float]]] = {}
        self.path: list[list[float]] = []
        """The weights of a two-weight network before the first step and after each step."""

    def on_train_start(self, trainer: lightning.Trainer, task: Any) -> None:
        if not self.path:
            self._note_weights(task)

    def on_train_batch_end(self, trainer: lightning.Trainer, task: Any, outputs: Any, batch: Any, index: int) -> None:
        if self.path:
            self._note_weights(task)

    def on_validation_end(self, trainer: lightning.Trainer, task: Any) -> None:
        if trainer.state.fn == TrainerFn.FITTING:
            self._note(trainer, "valid")

    def on_train_epoch_end(self, trainer: lightning.Trainer, task: Any) -> None:
        self._note(trainer, "train")

    def state_dict(self) -> dict[str, Any]:
        return {"curves": self.curves, "path": self.path}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.curves, self.path = state["curves"], state["path"]

    def _note_weights(self, task: Any) -> None:
        weights = [one for one in task.network.parameters() if one.requires_grad]
        if sum(one.numel() for one in weights) == DRAWN:
            self.path.append([value for one in weights for value in one.detach().flatten().tolist()])

    def _note(self, trainer: lightning.Trainer, stage: str) -> None:
        for name, value in trainer.callback_metrics.items():
            if name.count("/") == 1 and name.startswith(f"{stage}/"):
                self.curves.setdefault(name, []).append([float(trainer.global_step), float(value)])


class FeedFigures(lightning.Callback):
    """Logs the feed's throughput per epoch, and the fraction of time that training waited for it."""

    def on_train_start(self, trainer: lightning.Trainer, task: Any) -> None:
        # on_train_epoch_start is not called for an epoch resumed in its middle
        self.started = time.monotonic()

    def on_train_epoch_start(self, trainer: lightning.Trainer, task: Any) -> None:
        self.started = time.monotonic()

    def on_train_epoch_end(self, trainer: lightning.Trainer, task: Any) -> None:
        feed = trainer.train_dataloader
        if isinstance(feed, Feed) and trainer.logger is not None:
            figures = feed.statistics
            seconds = max(1e-9, time.monotonic() - self.started)
            speed = {"feed/rows_per_s": figures.rows / seconds, "feed/wait": figures.wait_s / seconds}
            trainer.logger.log_metrics(speed, step=trainer.global_step)
