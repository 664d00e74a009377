"""Recurrent state that is carried from batch to batch, for truncated backpropagation through time.

Source: Williams & Peng 1990, doi:10.1162/neco.1990.2.4.490. Axes: b slots of a batch or of a part of it.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

from millstream.tracking.errors import TrainingFailed
from millstream.training.feed.batch import Batch


class CarriedState:
    """The state of each of this rank's slots before the current batch, and after it.

    Parts of a batch (micro-batches, lanes) and repeated evaluations of one batch all start from the state before it.
    """

    def __init__(self) -> None:
        self._batch: tuple[int, int] | None = None
        self._before: Tensor | None = None
        self._after: Tensor | None = None

    def start(self, batch: Batch, initial: Tensor) -> Tensor:
        """The state (b, ...) in which the slots of `batch` start: `initial` (b, ...) where a sequence begins.

        It is `initial` everywhere in an order without sequences. Raises TrainingFailed where the state is lost.
        """
        if batch.streams is None:
            return initial
        self._turn(batch)
        begins_B = batch.streams.begins_B
        if self._before is None:
            if not bool(begins_B.all()):
                message = "the state of the batch before is lost, and sequences continue; train from the start"
                raise TrainingFailed.at(f"epoch {batch.epoch}, batch {batch.index}", message)
            return initial
        kept = self._before.to(initial)[batch.streams.slot_B]
        return torch.where(begins_B.reshape(-1, *[1] * (initial.ndim - 1)), initial, kept)

    def keep(self, batch: Batch, state: Tensor) -> None:
        """Keep the state (b, ...) after the slots of `batch`, without its graph, for the next batch.

        A state that is not finite is replaced by 0: it would spoil all later losses, also where `fit.nan` skips a step.
        """
        if batch.streams is None:
            return
        self._turn(batch)
        if self._after is None:
            self._after = state.new_zeros((batch.streams.slots, *state.shape[1:]))
        is_finite_B = torch.isfinite(state).flatten(start_dim=1).all(dim=1)
        kept = torch.where(is_finite_B.reshape(-1, *[1] * (state.ndim - 1)), state.detach(), 0.0)
        self._after[batch.streams.slot_B] = kept

    def whole(self) -> Tensor | None:
        """The state after the last batch, over the slots of all ranks; a collective."""
        if self._after is None:
            return None
        if not dist.is_initialized():
            return self._after
        whole = self._after.new_empty((dist.get_world_size() * len(self._after), *self._after.shape[1:]))
        dist.all_gather_into_tensor(whole, self._after)
        return whole

    def restore(self, whole: Tensor | None) -> None:
        """Continue from the state of all slots; the number of ranks may differ from when it was saved."""
        rank, ranks = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
        self._batch, self._before = None, None
        self._after = None if whole is None else whole.chunk(ranks)[rank].clone()

    def _turn(self, batch: Batch) -> None:
        if self._batch != (batch.epoch, batch.index):
            self._batch, self._before, self._after = (batch.epoch, batch.index), self._after, None
