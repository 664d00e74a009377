"""What every part of a kind must keep, whatever it is."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


def check_network(network: nn.Module, *inputs: Tensor, shape: tuple[int, ...]) -> None:
    """The contract of a network that gets nothing but its inputs, first axis the rows (at least three).

    Its output has `shape`; every parameter gets a gradient; a row does not depend on its neighbours in evaluation;
    and its state, loaded into another of its kind, returns the same output.
    """
    network.train()
    output = network(*inputs)
    assert output.shape == shape
    assert torch.isfinite(output).all()
    (output.square().sum() + output.sum()).backward()
    idle = [name for name, one in network.named_parameters() if one.grad is None or not one.grad.abs().sum() > 0]
    assert idle == []
    network.eval()
    with torch.no_grad():
        whole, alone = network(*inputs), network(*(one[1:2] for one in inputs))
        torch.testing.assert_close(alone, whole[1:2], rtol=1e-5, atol=1e-5)
        other = copy.deepcopy(network)
        for parameter in other.parameters():
            parameter.zero_()
        other.load_state_dict(network.state_dict())
        torch.testing.assert_close(other(*inputs), whole, rtol=0, atol=0)
