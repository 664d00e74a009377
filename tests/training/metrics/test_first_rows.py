"""Metrics of the first rows look at the same rows whatever the number of ranks."""

import pytest
import torch

from millstream.training.metrics.first_rows import FirstRows

ROWS, SLOTS = 44, 8


class First(FirstRows):
    def __init__(self, most):
        super().__init__(most, "value")

    def update(self, value_B, index):
        self.keep(index, value_B)

    def compute(self):
        return self.first()[0]


def gathered(metrics):
    """The first metric with the states of all, one rank after the other, as they are gathered."""
    first = metrics[0]
    for name in first._defaults:
        setattr(first, name, torch.cat([one for metric in metrics for one in getattr(metric, name)]))
    return first


@pytest.mark.parametrize("ranks", [1, 2, 4])
@pytest.mark.parametrize("most", [1, 8, 13, 44, 100])
def test_the_first_rows_of_a_split_are_the_same_for_any_number_of_ranks(ranks, most):
    metrics, rows = [First(most) for _ in range(ranks)], torch.arange(ROWS)
    for index, start in enumerate(range(0, ROWS, SLOTS)):
        slots = rows[start : start + SLOTS]
        for rank, metric in enumerate(metrics):
            share = slots[rank * SLOTS // ranks : (rank + 1) * SLOTS // ranks]
            if len(share):
                metric.update(share, index)
    # torchmetrics makes a number of a single value
    assert gathered(metrics).compute().reshape(-1).tolist() == rows[:most].tolist()
