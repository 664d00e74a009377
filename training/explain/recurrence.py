"""What happens over time inside a recurrent layer: its gates and states, and how far back the gradient reaches.

Source: Bengio et al. 1994, doi:10.1109/72.279181: the gradient of a loss with respect to an earlier state is a product
of one factor a step, which vanishes or explodes. Axes: B rows, T steps, D hidden units.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from millstream.tracking.figures.gates import gates
from millstream.tracking.figures.gradient_norms import gradient_norms
from millstream.training.feed.batch import Batch, Ragged
from millstream.training.layers.cells import Cell, Gates
from millstream.training.layers.recurrent import Recurrent
from millstream.training.task import Task
from millstream.training.tensors import as_numpy

ROWS = 64
"""Rows over which the gradient is averaged."""


def is_recurrent(network: Any) -> bool:
    """Whether it has a layer `recurrent`, and `steps` that returns the layer's inputs and their number in each row."""
    return isinstance(getattr(network, "recurrent", None), Recurrent) and hasattr(network, "steps")


def figures(task: Task, batch: Batch) -> dict[str, Figure]:
    """`gates` of the longest row of `batch`, and `gradient_norms`, of a network that `is_recurrent`. The weights and
    their gradients are left as they are."""
    network: Any = task.network
    some = batch.slots(slice(ROWS)).to(task.device)
    was_training = task.training
    task.eval()
    try:
        with torch.no_grad():
            x_BTI, lengths_B = network.steps(*some.arguments)
        row = int(lengths_B.argmax())
        trace = network.recurrent.trace(x_BTI[row : row + 1, : int(lengths_B[row])])
        found = {
            "gates": gates({name: as_numpy(values[0]) for name, values in trace.items()}, _labels(task, some, row))
        }
        return found | {"gradient_norms": gradient_norms(as_numpy(norms(task, some)), network.config.cell)}
    finally:
        task.train(was_training)


def norms(task: Task, batch: Batch) -> Tensor:
    """Mean over the rows of the norm of d loss / d state of the first cell, after each step, (T,).

    The loss of a row is its own, so that the number of rows changes nothing.
    """
    network: Any = task.network
    layer: Recurrent = network.recurrent
    cell: Any = layer.cells[0]
    kept = layer.config
    layer.config = kept.model_copy(update={"unrolled": True, "truncate": 0})
    try:
        with torch.enable_grad(), _recorded(cell) as states:
            losses_B, _ = task.rows(batch)
            found = torch.autograd.grad(losses_B[batch.mask_B].sum(), states)
    finally:
        layer.config = kept
    return torch.stack([one[batch.mask_B].flatten(start_dim=1).norm(dim=1).mean() for one in found])


@contextmanager
def _recorded(cell: Cell) -> Iterator[list[Tensor]]:
    """The states after each step of `cell`, in the order of the steps."""
    states: list[Tensor] = []
    step = cell.step

    def recording(inputs_BN: Tensor, state_BSD: Tensor) -> tuple[Tensor, Gates]:
        state_BSD, gates = step(inputs_BN, state_BSD)
        states.append(state_BSD)
        return state_BSD, gates

    cell.step = recording  # type: ignore[method-assign]
    try:
        yield states
    finally:
        del cell.step


def _labels(task: Task, batch: Batch, row: int) -> list[str]:
    """The tokens of a row; empty for other inputs."""
    (sequence,) = batch.arguments
    if not isinstance(sequence, Ragged):
        return []
    words = task.signature.inputs[0].columns[0].vocabulary or ()
    return [words[at] for at in sequence.values[row, : int(sequence.lengths_B[row])].tolist()]
