"""How the gradients of a step come together: from the parts of a batch, and from all ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import torch.distributed as dist
from torch import Tensor, nn

from millstream.training.feed.batch import Batch
from millstream.training.optimization.batch_norm import LEAST, batch_norms, kept


class Gradients(Protocol):
    """Takes the losses of a step one after the other; then the parameters have the gradient of all of them."""

    def parts(self, batch: Batch) -> Iterator[Batch]:
        """The pieces of this rank's batch that go forward and backward by themselves."""
        ...

    def add(self, loss: Tensor, parameters: Sequence[nn.Parameter]) -> None:
        """Backward from the loss of one piece."""
        ...

    def combine(self, parameters: Sequence[nn.Parameter]) -> Tensor:
        """The sum of the losses of all ranks, after their gradients came together. Raises ValueError without a loss."""
        ...


class Averaged:
    """The mean over ranks, by Lightning's strategy, which takes it while it goes backward."""

    def __init__(self, network: nn.Module, accumulate: int, backward: Callable[[Tensor], None]) -> None:
        """`accumulate` is into how many parts a batch is divided; `backward` is the strategy's, which averages."""
        self.network, self.accumulate, self.backward = network, accumulate, backward
        self.total: Tensor | None = None

    def parts(self, batch: Batch) -> Iterator[Batch]:
        count = self.accumulate
        # a single row has no variance, in a full batch either
        are_large = batch.is_full and len(batch.mask_B) >= LEAST * count
        norms = [] if are_large else batch_norms(self.network)
        if not norms:
            yield from batch.parts(count)
            return
        present = batch.present()
        is_synced = any(isinstance(one, nn.SyncBatchNorm) for one in norms)  # all ranks have to take part in that
        if is_synced or len(present.mask_B) >= LEAST * count:
            yield from present.parts(count)
            return
        with kept(norms):
            yield from batch.parts(count)

    def add(self, loss: Tensor, parameters: Sequence[nn.Parameter]) -> None:
        # the strategy has to know where ranks average; alone, it would only ask all callbacks twice
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
