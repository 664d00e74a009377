"""Dry run of a network and task on two made-up rows: refuses incompatible data before training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from millstream.tracking.dataset.signature import InputField, Signature
from millstream.training.estimator_module import EstimatorModule
from millstream.training.feed.batch import Batch, Ragged, Value
from millstream.training.memory import is_out_of_memory
from millstream.training.task import Task

ROWS = 2


class Unfit(Exception):
    """A network or a task failed in the dry run."""


def rehearse(task: Task) -> None:
    """Run the task on two rows of its signature; weights, statistics and random state stay unchanged.

    Skips an estimator, which is not fitted yet, and a task without `rows`.
    Raises Unfit, or the task's own errors.
    """
    if isinstance(task.network, EstimatorModule) or type(task).rows is Task.rows:
        return
    was_training = task.training
    task.eval()
    try:
        with tried(), torch.no_grad(), torch.random.fork_rng(devices=[]):
            loss_B, _ = task.rows(_rows(task.signature))
    finally:
        task.train(was_training)
    if loss_B.shape != (ROWS,):
        raise Unfit(f"the loss of {ROWS} rows has the shape {tuple(loss_B.shape)}")


@contextmanager
def tried() -> Iterator[None]:
    """Raises Unfit for the errors that torch raises on incompatible shapes and types."""
    try:
        yield
    except (RuntimeError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        if is_out_of_memory(error):
            raise
        raise Unfit(str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__) from error


def _rows(signature: Signature) -> Batch:
    inputs = {field.name: _value(field) for field in signature.inputs}
    targets = {field.name: _value(field) for field in signature.targets}
    ones_B = torch.ones(ROWS)
    return Batch(inputs, targets, ones_B, ones_B > 0, real=ROWS, ranks=1, epoch=0, index=0)


def _value(field: InputField) -> Value:
    dtype = torch.int64 if field.dtype == "int64" else torch.float32
    if field.columns[0].layout == "list":  # the unknown token, which is in each vocabulary
        return Ragged(torch.ones((ROWS, *field.shape), dtype=dtype), torch.full((ROWS,), field.shape[0]))
    # an image of zeros is empty where a channel is the mask of its padding
    made = torch.ones if field.meaning == "image" else torch.zeros
    return made((ROWS, *field.shape), dtype=dtype)
