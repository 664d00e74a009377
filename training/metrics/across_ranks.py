"""Gathers metric states from all ranks, including ranks without rows."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torchmetrics.utilities.distributed import gather_all_tensors


def all_gather(state: Tensor, group: Any = None) -> list[Tensor]:
    """The state of each rank; a `dist_sync_fn` for torchmetrics.

    On a rank without rows, torchmetrics replaces the empty list state of a metric by an empty float32 vector, whatever
    the dtype and shape on the other ranks (integers, or rows of several numbers). Ranks then disagree on dtype and
    dimensions, so that values are misread or the collective deadlocks.
    """
    kinds: list[Any] = [None] * dist.get_world_size(group)
    dist.all_gather_object(kinds, (state.dtype, tuple(state.shape)), group)
    nothing = (torch.get_default_dtype(), (0,))
    dtype, shape = next((kind for kind in kinds if kind != nothing), nothing)
    if (state.dtype, tuple(state.shape)) == nothing:
        state = state.new_empty((0, *shape[1:]), dtype=dtype)
    return gather_all_tensors(state, group)
