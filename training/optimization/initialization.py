"""Weight initialization by layer type, in place of the network's own.

Sources: He et al. 2015, arXiv 1502.01852; Glorot & Bengio 2010, proceedings.mlr.press/v9/glorot10a, equations 1 and
16; Saxe et al. 2014, arXiv 1312.6120.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from millstream.tracking.seeds import key
from millstream.training.config.fit import Initialisation

FILLS: dict[Initialisation, Callable[[Tensor, torch.Generator], object]] = {
    "zeros": lambda weight, draws: weight.zero_(),
    "uniform": lambda weight, draws: weight.uniform_(-_bound(weight), _bound(weight), generator=draws),
    "xavier": lambda weight, draws: nn.init.xavier_uniform_(weight, generator=draws),
    "he": lambda weight, draws: nn.init.kaiming_normal_(weight, generator=draws),
    "orthogonal": lambda weight, draws: nn.init.orthogonal_(weight, generator=draws),
}
"""`uniform` is bounded by 1/sqrt(inputs), `xavier` has variance 2/(inputs + outputs), `he` 2/inputs."""

LAYERS = nn.Linear | _ConvNd | nn.RNNBase | nn.RNNCellBase | nn.MultiheadAttention


@torch.no_grad()
def initialise(network: nn.Module, how: Initialisation, seed: int) -> None:
    """Initialize weights of linear, convolutional, recurrent and attention layers by `how`, and their biases to 0.

    Embeddings, norms and a network's own parameters keep the network's values. Each weight is drawn with a seed of its
    name, so that none depends on another.
    """
    layers = [(path, module) for path, module in network.named_modules() if isinstance(module, LAYERS)]
    for path, layer in layers:
        for name, parameter in layer.named_parameters(recurse=False):
            if parameter.ndim == 1:
                parameter.zero_()
                continue
            draws = torch.Generator().manual_seed(key(seed, "init", path, name))
            for matrix in _matrices(layer, parameter):
                # in a new tensor: a chunk or a transposed view of a parameter need not be contiguous
                fresh = torch.empty(matrix.shape)
                FILLS[how](fresh, draws)
                matrix.copy_(fresh)


def _matrices(layer: nn.Module, weight: Tensor) -> tuple[Tensor, ...]:
    """The weight as (outputs, inputs, ...), split where several are stacked in one tensor (gates, q/k/v)."""
    if isinstance(layer, _ConvTransposeNd):
        return (weight.transpose(0, 1),)
    if isinstance(layer, nn.RNNBase | nn.RNNCellBase):
        return weight.chunk(max(1, len(weight) // layer.hidden_size))
    if isinstance(layer, nn.MultiheadAttention):
        return weight.chunk(max(1, len(weight) // layer.embed_dim))
    return (weight,)


def _bound(weight: Tensor) -> float:
    return 1 / math.sqrt(weight[0].numel())
