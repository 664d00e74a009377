"""A task without a trainer's loops: batches in, metrics out."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch

from millstream.training.feed.batch import Batch, Value
from millstream.training.task import Task


def batch(*inputs: Value, target: Value | None = None, real: int | None = None) -> Batch:
    """A batch of one rank; only its first `real` slots hold samples."""
    slots = len(inputs[0])
    mask = torch.arange(slots) < (slots if real is None else real)
    fields = {f"input {at}": value for at, value in enumerate(inputs)}
    targets = {} if target is None else {"target": target}
    return Batch(fields, targets, mask.float(), mask, int(mask.sum()), 1, 0, 0)


def measured(task: Task, *batches: Batch) -> dict[str, float]:
    """The metrics of a test over these batches, by name."""
    logged: dict[str, Any] = {}
    task._trainer = SimpleNamespace(testing=True)  # type: ignore[assignment]  # all that a task reads from its trainer
    task.log_dict = lambda values, **_: logged.update(values)  # type: ignore[method-assign]
    task.log = lambda name, value, **_: logged.update({name: value})  # type: ignore[method-assign]
    task.eval()
    with torch.no_grad():
        for at, one in enumerate(batches):
            task.test_step(one, at)
        task.on_test_epoch_end()
    return {name: float(value) for name, value in logged.items()}


def stepping(task: Task, batches: int = 100) -> None:
    """Configures a task's optimizers and schedules over an epoch of `batches`."""
    data = SimpleNamespace(train_dataloader=lambda: range(batches))
    task._trainer = SimpleNamespace(datamodule=data, testing=False)  # type: ignore[assignment]
    configured = task.configure_optimizers()
    configured = configured if isinstance(configured, tuple) else (configured,)
    task.optimizers = lambda: [one["optimizer"] for one in configured]  # type: ignore[assignment, misc]
    task.lr_schedulers = lambda: [one["lr_scheduler"]["scheduler"] for one in configured]  # type: ignore[assignment]
    task.manual_backward = lambda loss: loss.backward()  # type: ignore[assignment, misc]
