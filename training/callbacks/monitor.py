"""Base class of callbacks that act when a validation metric improves, or does not."""

from __future__ import annotations

import difflib
import math
from typing import TYPE_CHECKING, Any

import pytorch_lightning as lightning
from pytorch_lightning.trainer.states import TrainerFn

from millstream.tracking.errors import WrongRecipe

if TYPE_CHECKING:
    from millstream.training.config.fit import Fit


class Watch(lightning.Callback):
    """A subclass overrides `better` or `waiting`. The best value and the wait so far are checkpointed."""

    def __init__(self, fit: Fit, *, least: float = 0.0) -> None:
        """`least` is the smallest change that counts as an improvement."""
        self.fit, self.least = fit, least
        self.best: float | None = None
        self.waited = 0
        """Validations in a row without improvement."""

    def better(self, trainer: lightning.Trainer, task: Any) -> None:
        """Called after a validation that improved on the best."""

    def waiting(self, trainer: lightning.Trainer, task: Any) -> None:
        """Called after any other validation."""

    def setup(self, trainer: lightning.Trainer, task: Any, stage: str) -> None:
        """Raises WrongRecipe for a misspelled metric name, before the first epoch."""
        known = [f"valid/{name}" for name in ("loss", *task.metrics())]
        near = difflib.get_close_matches(self.fit.monitor, known, 1, cutoff=0.9)
        if stage == TrainerFn.FITTING and near and self.fit.monitor not in known:
            raise WrongRecipe.at("fit.monitor", f"{self.fit.monitor}: no such metric; did you mean {near[0]}?")

    def on_validation_end(self, trainer: lightning.Trainer, task: Any) -> None:
        if trainer.state.fn != TrainerFn.FITTING:
            return
        value = self._value(trainer)
        if self._is_better(value, task):
            self.best, self.waited = value, 0
            self.better(trainer, task)
        else:
            self.waited += 1
            self.waiting(trainer, task)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best, self.waited = state["best"], state["waited"]

    def _value(self, trainer: lightning.Trainer) -> float:
        known = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("valid/")}
        if self.fit.monitor not in known:
            message = f"{self.fit.monitor}: no such metric of this task; it measures {', '.join(sorted(known))}"
            raise WrongRecipe.at("fit.monitor", message)
        return known[self.fit.monitor]

    def _is_better(self, value: float, task: Any) -> bool:
        """Never true for a NaN."""
        if self.best is None:
            return not math.isnan(value)
        direction = self.fit.direction or task.direction(self.fit.monitor)
        return value > self.best + self.least if direction == "max" else value < self.best - self.least
