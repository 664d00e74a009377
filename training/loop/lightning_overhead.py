"""Less of Lightning's work per batch, which slows small networks; with `LEAN` off, all of it is Lightning's own again.

Written for Lightning 2.6. Lightning stays the engine: epochs, validation, resuming, strategies and the calls of
callbacks are as without this module, and so is a checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytorch_lightning as lightning
from pytorch_lightning.loops.training_epoch_loop import _TrainingEpochLoop
from pytorch_lightning.plugins.precision import Precision
from pytorch_lightning.profilers import PassThroughProfiler

LEAN = True
HOOKS = ("on_train_batch_start", "on_train_batch_end")
TRANSFER = ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer")
_NOTHING = nullcontext()


class NoProfiler(PassThroughProfiler):
    """Records no times. Lightning enters a profiler context some forty times a step, each creating a generator."""

    def profile(self, action_name: str) -> Any:
        return _NOTHING


class PlainPrecision(Precision):
    """Steps in float32, without hooks between loss and step: `descend` does its own clipping and checks."""

    def optimizer_step(  # type: ignore[override]  # as Lightning's own narrows that of Fabric
        self, optimizer: Any, model: Any, closure: Callable[[], Any], **named: Any
    ) -> Any:
        return optimizer.step(closure=closure, **named)


class LeanLoop(_TrainingEpochLoop):
    """The loop over the batches of an epoch, with the calls per batch that tasks of manual optimization need.

    It inspects no signatures, calls only the hooks that a callback has, and gathers metrics only at the steps at which
    they are logged. The batch after a resume is Lightning's, and so are all where a task or a source has hooks of its
    own around a batch.
    """

    def on_run_start(self, data_fetcher: Any) -> None:
        super().on_run_start(data_fetcher)
        trainer, task = self.trainer, self.trainer.lightning_module
        own: list[tuple[Any, type, tuple[str, ...]]] = [(task, lightning.LightningModule, (*HOOKS, *TRANSFER))]
        own += [(trainer.datamodule, lightning.LightningDataModule, TRANSFER)] if trainer.datamodule else []
        self.is_lean = (
            not task.automatic_optimization
            and trainer.val_check_interval == 1.0
            and not any(_has(one, kind, hook) for one, kind, hooks in own for hook in hooks)
        )
        self.hooks = {
            hook: [getattr(one, hook) for one in trainer.callbacks if _has(one, lightning.Callback, hook)]
            for hook in HOOKS
        }

    def advance(self, data_fetcher: Any) -> None:
        if self.restarting or not self.is_lean:
            super().advance(data_fetcher)
            return
        trainer, progress = self.trainer, self.batch_progress
        task, connector = trainer.lightning_module, trainer._logger_connector
        if trainer.world_size > 1:
            self._broadcast_sigterm_tensor()
        batch, _, _ = next(data_fetcher)
        index = self.batch_idx + 1
        progress.is_last_batch = data_fetcher.done
        if trainer.strategy.root_device.type != "cpu":
            batch = trainer.strategy.batch_to_device(batch, dataloader_idx=0)
        progress.increment_ready()
        connector.on_batch_start(batch)
        self._call("on_train_batch_start", task, batch, index)
        progress.increment_started()
        self.manual_optimization.on_run_start()  # counts the steps of the optimizers
        task._current_fx_name = "training_step"
        found = trainer.strategy.training_step(batch, index)
        self.manual_optimization.on_run_end()
        output = self.manual_optimization.output_result_cls.from_training_step_output(found).asdict()
        progress.increment_processed()
        is_logged = task.has_point or progress.is_last_batch
        self._call("on_train_batch_end", task, output, batch, index)
        if is_logged:
            connector.on_batch_end()
        progress.increment_completed()
        if is_logged:
            connector.update_train_step_metrics()

    def on_advance_end(self, data_fetcher: Any) -> None:
        if self.is_lean and not (self.batch_progress.is_last_batch or self._skip_next_val or self.trainer.should_stop):
            self._batches_that_stepped += 1
        else:
            super().on_advance_end(data_fetcher)

    def _call(self, hook: str, task: Any, *arguments: Any) -> None:
        task._current_fx_name = hook
        for call in self.hooks[hook]:
            call(self.trainer, task, *arguments)
        task._current_fx_name = None


def lean(trainer: lightning.Trainer) -> lightning.Trainer:
    """The Trainer with the lean loop, unless `LEAN` is off."""
    if LEAN:
        trainer.fit_loop.epoch_loop = LeanLoop(trainer, trainer.min_steps, trainer.max_steps)
    return trainer


def _has(one: Any, kind: type, hook: str) -> bool:
    """Whether `one` has a hook of its own."""
    return hook in vars(one) or getattr(type(one), hook) is not getattr(kind, hook)
