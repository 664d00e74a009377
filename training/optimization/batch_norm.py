"""Batch norm and masked slots of a batch.

Other layers are row-independent, so masked slots are harmless. A batch norm averages over all slots, and keeps running
statistics for inference: the zeros of a nearly empty last batch would be a tenth of them, right before validation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

LEAST = 2
"""Minimum number of rows with a variance."""


def batch_norms(network: nn.Module) -> list[_BatchNorm]:
    return [module for module in network.modules() if isinstance(module, _BatchNorm)]


def remembered(norms: Sequence[_BatchNorm]) -> Callable[[], None]:
    """A function that restores the current statistics of `norms`, so that a skipped step leaves them unchanged."""
    then = [(buffer, buffer.clone()) for one in norms for buffer in one.buffers()]

    def put_back() -> None:
        for buffer, value in then:
            buffer.copy_(value)

    return put_back


@contextmanager
def kept(norms: Sequence[_BatchNorm]) -> Iterator[None]:
    """Inside, `norms` use their running statistics and do not update them."""
    learning = [one for one in norms if one.training]
    for one in learning:
        one.eval()
    try:
        yield
    finally:
        for one in learning:
            one.train()
