"""Batch norms and the slots of a batch that hold no sample.

Elsewhere a row's output does not hang on the other rows, so that an empty slot does nothing but wait. A batch norm
takes the mean over all slots, and keeps it for the rows that come after training: the zeros of a last batch that is
hardly filled would be a tenth of it, right before the model is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

LEAST = 2
"""Rows that have a variance."""


def batch_norms(network: nn.Module) -> list[_BatchNorm]:
    return [module for module in network.modules() if isinstance(module, _BatchNorm)]


def remembered(norms: Sequence[_BatchNorm]) -> Callable[[], None]:
    """Puts back the statistics that norms have now: of rows whose step was not taken nothing is to stay."""
    then = [(buffer, buffer.clone()) for one in norms for buffer in one.buffers()]

    def put_back() -> None:
        for buffer, value in then:
            buffer.copy_(value)

    return put_back


@contextmanager
def kept(norms: Sequence[_BatchNorm]) -> Iterator[None]:
    """Inside, norms take the statistics that they have, and learn none."""
    learning = [one for one in norms if one.training]
    for one in learning:
        one.eval()
    try:
        yield
    finally:
        for one in learning:
            one.train()
