"""Watches one metric on valid: what those callbacks share that act when it becomes better, or does not."""

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
    """A subclass acts in `better` or in `waiting`. The best value and the wait so far travel in the checkpoint."""

    def __init__(self, fit: Fit, *, least: float = 0.0) -> None:
        """`least` is how much better counts as better."""
        self.fit, self.least = fit, least
        self.best: float | None = None
        self.waited = 0
        """Looks at valid in a row that were not better than the best."""

    def better(self, trainer: lightning.Trainer, task: Any) -> None:
        """After a look that was better than all before."""

    def waiting(self, trainer: lightning.Trainer, task: Any) -> None:
        """After a look that was not."""

    def setup(self, trainer: lightning.Trainer, task: Any, stage: str) -> None:
        """Raises WrongRecipe for a name that is nearly that of a metric, before an epoch is lost to it."""
        known = [f"valid/{name}" for name in ("loss", *task.metrics())]
        near = difflib.get_close_matches(self.fit.monitor, known, 1, cutoff=0.9)
        if stage == TrainerFn.FITTING and near and self.fit.monitor not in known:
            raise WrongRecipe.at("fit.monitor", f"{self.fit.monitor}: no such metric; did you mean {near[0]}?")

    def on_validation_end(self, trainer: lightning.Trainer, task: Any) -> None:
        if trainer.state.fn != TrainerFn.FITTING:
            return
        value = self._value(trainer)
        if self._is_better(value):
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
            told = f"{self.fit.monitor}: no such metric of this task; it measures {', '.join(sorted(known))}"
            raise WrongRecipe.at("fit.monitor", told)
        return known[self.fit.monitor]

    def _is_better(self, value: float) -> bool:
        """Never for a NaN."""
        if self.best is None:
            return not math.isnan(value)
        return value > self.best + self.least if self.fit.looks_for_most else value < self.best - self.least
