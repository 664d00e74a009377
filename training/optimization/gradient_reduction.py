"""Gradient accumulation over micro-batches and reduction over ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import torch.distributed as dist
from torch import Tensor, nn

from millstream.training.feed.batch import Batch
from millstream.training.optimization.batch_norm import LEAST, batch_norms, kept


class Gradients(Protocol):
    """Accumulates the gradients of a step's losses and reduces them over ranks."""

    def parts(self, batch: Batch) -> Iterator[Batch]:
        """The micro-batches of this rank's batch."""
        ...

    def add(self, loss: Tensor, parameters: Sequence[nn.Parameter]) -> None:
        """Backward pass of the loss of one micro-batch."""
        ...

    def combine(self, parameters: Sequence[nn.Parameter]) -> Tensor:
        """Reduce the gradients; return the reduced loss. Raises ValueError without a loss."""
        ...


class Averaged:
    """Mean over ranks by Lightning's strategy (DDP), which reduces during the backward pass."""

    def __init__(self, network: nn.Module, accumulate: int, backward: Callable[[Tensor], None]) -> None:
        """`accumulate` is the number of micro-batches per batch; `backward` is the strategy's, which averages."""
        self.network, self.accumulate, self.backward = network, accumulate, backward
        self.total: Tensor | None = None

    def parts(self, batch: Batch) -> Iterator[Batch]:
        count = self.accumulate
        # a single row has no variance, even in a full batch
        are_large = batch.is_full and len(batch.mask_B) >= LEAST * count
        norms = [] if are_large else batch_norms(self.network)
        if not norms:
            yield from batch.parts(count)
            return
        present = batch.present()
        is_synced = any(isinstance(one, nn.SyncBatchNorm) for one in norms)  # a collective: all ranks must take part
        if is_synced or len(present.mask_B) >= LEAST * count:
            yield from present.parts(count)
            return
        with kept(norms):
            yield from batch.parts(count)

    def add(self, loss: Tensor, parameters: Sequence[nn.Parameter]) -> None:
        # the strategy is needed to average over ranks; in a single process it would only call all callbacks twice
        (self.backward if dist.is_initialized() else Tensor.backward)(loss)
        self.total = loss.detach() if self.total is None else self.total + loss.detach()

    def combine(self, parameters: Sequence[nn.Parameter]) -> Tensor:
        if self.total is None:
            raise ValueError("a step needs at least one loss")
        total, self.total = self.total, None
        if dist.is_initialized():
            dist.all_reduce(total)
            total /= dist.get_world_size()
        return total
