"""Gradient reduction that makes weights bit-identical at any number of ranks.

Each lane of a batch has its own forward and backward pass, with the same shapes at any number of ranks; the lanes'
gradients are gathered and summed in lane order. Plain data parallelism adds partial sums per rank, which differ in the
last bits.
Axes: L lanes of the batch, M lanes of this rank, P parameters.
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
    """Sum over all lanes in order; this rank computes the lanes `own`."""

    def __init__(self, seed: int, own: range, lanes: int) -> None:
        self.seed, self.own, self.lanes = seed, own, lanes
        self._found: list[Tensor] = []
        self.began, self.exchange_s = time.monotonic(), 0.0

    def parts(self, batch: Batch) -> Iterator[Batch]:
        """This rank's lanes, each seeded separately."""
        for lane, part in zip(self.own, lanes_of(batch, len(self.own)), strict=True):
            rng.seed(key(self.seed, "step", batch.epoch, batch.index, "lane", lane))
            yield part

    def add(self, loss: Tensor, parameters: Sequence[nn.Parameter]) -> None:
        found = torch.autograd.grad(loss, list(parameters))
        # the loss is appended as one more element
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

    def report(self) -> None:
        """Report the fraction of time spent on the reduction to stderr."""
        share = self.exchange_s / max(1e-9, time.monotonic() - self.began)
        message = f"exact: {share:.1%} of the time went into gathering and summing {self.lanes} lanes' gradients"
        sys.stderr.write(f"{message}; each lane goes forward and backward by itself\n")

    def _gathered(self, own_MP: Tensor) -> Tensor:
        """The gradients of all lanes in order, (L, P)."""
        if len(self.own) == self.lanes:
            return own_MP
        whole_LP = own_MP.new_empty(self.lanes, own_MP.shape[1])
        dist.all_gather_into_tensor(whole_LP, own_MP)
        return whole_LP


def lanes_of(batch: Batch, lanes: int) -> Iterator[Batch]:
    """The batch of each of a rank's lanes, as in a single process; ragged fields padded to the lane's longest row."""
    b = len(batch.mask_B) // lanes
    for start in range(0, lanes * b, b):
        lane = batch.slots(slice(start, start + b))
        yield lane._replace(inputs=_trimmed(lane.inputs), targets=_trimmed(lane.targets), ranks=1)


def _trimmed(fields: Fields) -> Fields:
    return {name: value.trimmed() if isinstance(value, Ragged) else value for name, value in fields.items()}


def in_order(rows_LP: Tensor) -> Tensor:
    """The sum of the rows, from first to last: a fixed order makes it reproducible."""
    total_P = rows_LP[0].clone()
    for row_P in rows_LP[1:]:
        total_P += row_P
    return total_P
