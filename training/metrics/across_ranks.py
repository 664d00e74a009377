"""Metric states of all ranks together, those of ranks without a row among them."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torchmetrics.utilities.distributed import gather_all_tensors


def all_gather(state: Tensor, group: Any = None) -> list[Tensor]:
    """The state of each rank, as torchmetrics asks for it (`dist_sync_fn`).

    A metric that collects rows has none on a rank that was given none. torchmetrics puts an empty vector of float32 in
    their place, whatever the others have collected: whole numbers, or rows of several numbers. Types and axes then
    differ between ranks, so that values are misread, or the ranks wait for each other.
    """
    kinds: list[Any] = [None] * dist.get_world_size(group)
    dist.all_gather_object(kinds, (state.dtype, tuple(state.shape)), group)
    nothing = (torch.get_default_dtype(), (0,))
    dtype, shape = next((kind for kind in kinds if kind != nothing), nothing)
    if (state.dtype, tuple(state.shape)) == nothing:
        state = state.new_empty((0, *shape[1:]), dtype=dtype)
    return gather_all_tensors(state, group)
