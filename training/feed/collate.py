"""Collates stored samples into batches, several at a time to amortize the overhead per batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from millstream.training.feed.batch import Batch, Ragged, Streams, Value
from millstream.training.feed.read.columns import Block

TOGETHER_BYTES = 4 << 20
"""Size of the batches collated at a time: small enough to stay in the CPU caches from gather to conversion."""


@dataclass(frozen=True)
class Place:
    """Position of batches: from `index` of `epoch`, in a split of `samples`, on one of `ranks`."""

    epoch: int
    index: int
    samples: int
    batch_size: int
    ranks: int


def together(blocks: Sequence[Block], slots: int) -> int:
    """Number of batches of `slots` slots that are collated at a time."""
    sample = sum(np.dtype(block.field.dtype).itemsize * math.prod(block.shape) for block in blocks)
    return max(1, TOGETHER_BYTES // max(1, sample * slots))


def batches(
    blocks: Sequence[Block],
    stored: Sequence[Tensor],
    is_sample_GB: NDArray[np.bool_] | None,
    place: Place,
    begins_GB: NDArray[np.bool_] | None = None,
) -> list[Batch]:
    """G batches of B slots each, from the `stored` values of all G * B slots in order.

    Where `is_sample_GB` is None, every slot has a sample; where `begins_GB` is None, the order has no sequences.
    """
    slots = place.batch_size // place.ranks
    count = len(stored[0]) // slots
    made = [block.tensor(values) for block, values in zip(blocks, stored, strict=True)]
    masks, weights = ([one] * count for one in _full(slots))
    if is_sample_GB is not None:
        mask_GB = torch.from_numpy(is_sample_GB)
        masks, weights = list(mask_GB), list(mask_GB.to(torch.float32))
        # zero the slots without a sample; the tensors are not shared
        empty_GB = ~mask_GB.reshape(-1)
        for one in made:
            one[empty_GB] = 0
    parts: list[Sequence[Tensor]] = [one.reshape(count, slots, *one.shape[1:]).unbind(0) for one in made]
    fields: dict[str, dict[str, Sequence[Value]]] = {"input": {}, "target": {}}
    for at, block in enumerate(blocks):
        if block.role == "weight":
            weights = list(parts[at])
        elif block.is_lengths:  # follows its values; trimmed to the longest list of this rank's samples
            longest = made[at].reshape(count, slots).amax(dim=1).clamp(min=1).tolist()
            trimmed = (values[:, :width].contiguous() for values, width in zip(parts[at - 1], longest, strict=True))
            fields[block.role][block.field.name] = list(map(Ragged, trimmed, parts[at]))
        else:
            fields[block.role][block.field.name] = parts[at]
    inputs, targets = (
        [{name: values[at] for name, values in held.items()} for at in range(count)] for held in fields.values()
    )
    streams = [None] * count if begins_GB is None else [Streams.of(one) for one in torch.from_numpy(begins_GB)]
    found = []
    for at, index in enumerate(range(place.index, place.index + count)):
        real = min(place.batch_size, place.samples - index * place.batch_size)
        where = (real, place.ranks, place.epoch, index)
        found.append(Batch(inputs[at], targets[at], weights[at], masks[at], *where, streams[at]))
    return found


@lru_cache(maxsize=4)
def _full(slots: int) -> tuple[Tensor, Tensor]:
    """Mask and weight of a full batch, shared by all full batches and read-only."""
    # the first full batch may be one of evaluation, and inference tensors cannot be used in training later
    with torch.inference_mode(False):
        return torch.ones(slots, dtype=torch.bool), torch.ones(slots)
