"""Monte Carlo dropout: stochastic forward passes through a trained network.

Source: Gal & Ghahramani 2016, arXiv 1506.02142. Differs from it: a pass has one dropout mask for all rows, so that the
prediction of a row does not depend on the batch or on its position in it.
Axes: B rows, P outputs of the network, S passes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from millstream.tracking.seeds import key

Layers = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)


def leaves_out(network: nn.Module) -> bool:
    """Whether the network has dropout layers with a positive probability."""
    return any(isinstance(one, Layers) and one.p > 0 for one in network.modules())


def passes(network: nn.Module, inputs: tuple[Tensor, ...], count: int, seed: int) -> Tensor:
    """Outputs (B, P, S) of a network in evaluation mode; the masks depend on `seed` and the pass number alone."""
    found = []
    for number in range(count):
        with _leaving_out(network, key(seed, "dropout pass", number)):
            found.append(network(*inputs))
    return torch.stack(found, dim=-1)


@contextmanager
def _leaving_out(network: nn.Module, seed: int) -> Iterator[None]:
    generator = torch.Generator().manual_seed(seed)
    layers = [one for one in network.modules() if isinstance(one, Layers)]
    hooks = [layer.register_forward_hook(partial(_thinned, generator)) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _thinned(generator: torch.Generator, layer: Any, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """The output of a dropout layer, which is the identity in evaluation mode, with dropout applied as in training."""
    # Dropout1d, 2d and 3d drop whole channels: one draw per channel
    shape = output.shape[1:] if isinstance(layer, nn.Dropout) else (output.shape[1], *[1] * (output.ndim - 2))
    kept = torch.rand(shape, generator=generator) >= layer.p
    thinned: Tensor = output * kept.to(output) / (1 - layer.p)
    return thinned
