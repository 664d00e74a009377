"""The contract of networks, checked for each of them by `tests/training/networks/test_every_network.py`."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from millstream.training.feed.batch import Ragged, Value
from millstream.training.objectives.mc_dropout import Layers
from millstream.training.optimization.batch_norm import batch_norms

CLOSE: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-5}
"""Sums of a row are added in another order in a batch of another size."""


def check_network(network: nn.Module, *inputs: Value, shape: tuple[int, ...]) -> None:
    """What holds for a network of any configuration, on at least three rows.

    Its output has `shape` and is finite; every parameter gets a gradient; rows are independent; and its state, loaded
    into another of its kind, has the same output.
    """
    network.train()
    output = network(*inputs)
    assert output.shape == shape, f"the output has the shape {tuple(output.shape)}"
    assert torch.isfinite(output).all()
    (output.square().sum() + output.sum()).backward()
    idle = without_gradient(network)
    assert idle == [], f"no gradient reaches {', '.join(idle)}"
    check_rows_are_independent(network, *inputs)
    with torch.no_grad():
        other = copy.deepcopy(network)
        for parameter in other.parameters():
            parameter.zero_()
        other.load_state_dict(network.state_dict())
        torch.testing.assert_close(other(*inputs), network(*inputs), rtol=0, atol=0)


def check_rows_are_independent(network: nn.Module, *inputs: Value) -> None:
    """In evaluation, and in training where no batch norm averages over the rows; dropout is left out.

    A ragged row is alone without the padding that it has among others.
    """
    for training in (False, *([] if batch_norms(network) else [True])):
        network.train(training)
        with without_dropout(network), torch.no_grad():
            whole, alone = network(*inputs), network(*map(_second, inputs))
        torch.testing.assert_close(alone, whole[1:2], **CLOSE)
    network.eval()


def _second(values: Value) -> Value:
    row = values[1:2]
    return row.trimmed() if isinstance(row, Ragged) else row


def without_gradient(network: nn.Module) -> list[str]:
    """Names of the parameters that the last backward passes have not reached."""
    gradients: dict[str, Tensor | None] = {name: one.grad for name, one in network.named_parameters()}
    return [name for name, one in gradients.items() if one is None or not one.abs().sum() > 0]


@contextmanager
def without_dropout(network: nn.Module) -> Iterator[None]:
    layers: list[tuple[Any, str]] = [
        *((one, "p") for one in network.modules() if isinstance(one, Layers)),
        *((one, "dropout") for one in network.modules() if isinstance(one, nn.RNNBase)),
    ]
    rates = [getattr(*one) for one in layers]
    for module, name in layers:
        setattr(module, name, 0.0)
    try:
        yield
    finally:
        for (module, name), rate in zip(layers, rates, strict=True):
            setattr(module, name, rate)
