"""Loss surface of a network with two weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from millstream.tracking.figures.descent import descent
from millstream.training.feed.batch import Batch
from millstream.training.task import Task

GRID = 61
"""Grid points along each side."""
MARGIN = 0.25
"""Margin around the path, as a fraction of its extent."""


def surface(task: Task, rows: Batch, path: Sequence[Sequence[float]]) -> Figure:
    """Figure of the mean loss of `rows` around the path of the two weights; the task's weights are restored."""
    path_S2 = np.asarray(path, dtype=np.float64)
    low_2, high_2 = path_S2.min(axis=0), path_S2.max(axis=0)
    extent_2 = np.maximum(high_2 - low_2, 1e-3 + 1e-3 * np.abs(high_2))
    x, y = np.linspace(low_2 - MARGIN * extent_2, high_2 + MARGIN * extent_2, GRID).T
    rows, parameters = rows.to(task.device), list(task.network.parameters())
    kept, was_training = parameters_to_vector(parameters).detach().clone(), task.training
    loss_YX = np.empty((GRID, GRID))
    task.eval()
    try:
        with torch.no_grad():
            for row, column in np.ndindex(GRID, GRID):
                vector_to_parameters(kept.new_tensor([x[column], y[row]]), parameters)
                loss_YX[row, column] = float(task.mean(rows))
    finally:
        with torch.no_grad():
            vector_to_parameters(kept, parameters)
        task.train(was_training)
    names = [name for name, one in task.network.named_parameters() for _ in range(one.numel())]
    return descent(loss_YX, x, y, path_S2, (names[0], names[1]))
