"""Training whose weights are the same bits whatever the number of ranks.

Each lane of a batch goes forward and backward by itself, with the same shapes at any number of ranks; the lanes'
gradients are gathered and summed in the order of the lanes. Plain data parallelism sums what each rank has summed
before, and differs in the last bits.
Axes: L lanes of the batch, M own ones, P parameters.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn

from millstream.tracking.seeds import key
from millstream.training.feed.batch import Batch, Fields, Ragged
from millstream.training.optimization import rng


class ByLane:
    """The sum over lanes in their order, of which this rank owns some."""

    def __init__(self, seed: int, own: range, lanes: int) -> None:
        self.seed, self.own, self.lanes = seed, own, lanes
        self._found: list[Tensor] = []
        self.began, self.exchange_s = time.monotonic(), 0.0

    def parts(self, batch: Batch) -> Iterator[Batch]:
        """The own lanes, each with draws of its own."""
        for lane, part in zip(self.own, lanes_of(batch, len(self.own)), strict=True):
            rng.seed(key(self.seed, "step", batch.epoch, batch.index, "lane", lane))
            yield part

    def add(self, loss: Tensor, parameters: Sequence[nn.Parameter]) -> None:
        found = torch.autograd.grad(loss, list(parameters))
        # the loss goes along as one more number
        self._found.append(torch.cat([*(one.reshape(-1) for one in found), loss.detach().reshape(1)]))

    def combine(self, parameters: Sequence[nn.Parameter]) -> Tensor:
        own_MP = torch.stack(self._found)
        self._found = []
        began = time.monotonic()
        total_P = in_order(self._gathered(own_MP))
        self.exchange_s += time.monotonic() - began
        start = 0
        for one in parameters:
            one.grad = total_P[start : start + one.numel()].view_as(one).clone()
            start += one.numel()
        return total_P[-1]

    def tell(self) -> None:
        """Say what it cost."""
        share = self.exchange_s / max(1e-9, time.monotonic() - self.began)
        told = f"exact: {share:.1%} of the time went into gathering and summing {self.lanes} lanes' gradients"
        sys.stderr.write(f"{told}; each lane goes forward and backward by itself\n")

    def _gathered(self, own_MP: Tensor) -> Tensor:
        """The rows of all lanes in order, (L, P)."""
        if len(self.own) == self.lanes:
            return own_MP
        whole_LP = own_MP.new_empty(self.lanes, own_MP.shape[1])
        dist.all_gather_into_tensor(whole_LP, own_MP)
        return whole_LP


def lanes_of(batch: Batch, lanes: int) -> Iterator[Batch]:
    """The batch of each of a rank's lanes, as one process alone would see it; lists as wide as the lane's longest."""
    b = len(batch.mask_B) // lanes
    for start in range(0, lanes * b, b):
        lane = batch.slots(slice(start, start + b))
        yield lane._replace(inputs=_trimmed(lane.inputs), targets=_trimmed(lane.targets), ranks=1)


def _trimmed(fields: Fields) -> Fields:
    return {name: value.trimmed() if isinstance(value, Ragged) else value for name, value in fields.items()}


def in_order(rows_LP: Tensor) -> Tensor:
    """The sum of the rows, first to last: one order, one result."""
    total_P = rows_LP[0].clone()
    for row_P in rows_LP[1:]:
        total_P += row_P
    return total_P
