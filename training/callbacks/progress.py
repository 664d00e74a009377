"""Training progress on stderr: a bar on a terminal, one line per epoch elsewhere."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as lightning
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class Bar(lightning.Callback):
    """One bar over all steps of all epochs, with the latest losses and metrics."""

    def __init__(self) -> None:
        self.console = Console(stderr=True)
        self.bar: Progress | None = None

    def on_train_start(self, trainer: lightning.Trainer, task: Any) -> None:
        self.steps = int(trainer.num_training_batches)
        if self.console.is_terminal:
            columns = ("train", BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
            self.bar = Progress(*columns, TextColumn("{task.description}"), console=self.console)
            total = self.steps * (trainer.max_epochs or 1)
            done = trainer.current_epoch * self.steps + trainer.fit_loop.batch_idx + 1
            self.row = self.bar.add_task("", total=total, completed=max(0, done))
            self.bar.start()

    def on_train_batch_end(self, trainer: lightning.Trainer, task: Any, outputs: Any, batch: Any, index: int) -> None:
        if self.bar:
            done = trainer.current_epoch * self.steps + index + 1
            self.bar.update(self.row, completed=done, description=_logged(trainer) if index % 20 == 0 else None)

    def on_train_epoch_end(self, trainer: lightning.Trainer, task: Any) -> None:
        if not self.bar:
            message = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  {_logged(trainer)}"
            self.console.print(message, highlight=False, soft_wrap=True)

    def teardown(self, trainer: lightning.Trainer, task: Any, stage: str) -> None:
        if self.bar:
            self.bar.stop()
            self.bar = None


def _logged(trainer: lightning.Trainer) -> str:
    shown = {name: float(value) for name, value in trainer.callback_metrics.items() if name.count("/") == 1}
    return "  ".join(f"{name} {value:.4g}" for name, value in sorted(shown.items()))
