"""The device of the tests refuses what a GPU refuses, allows what it allows, and computes what the CPU computes."""

import copy
import operator

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from tests.other_device import DEVICE, HOST

X = torch.arange(12.0).reshape(4, 3)
D = X.to(DEVICE)
MIXED = {
    "a sum with a tensor made without a device": lambda: D + torch.zeros(4, 3),
    "a sum into a tensor of the host": lambda: torch.zeros(()).add_(D.sum()),
    "a product of matrices": lambda: D @ X.T,
    "concatenation": lambda: torch.cat([D, X]),
    "numbers of two devices stacked": lambda: torch.stack([D.sum(), torch.tensor(1.0)]),
    "a choice": lambda: torch.where(D > 0, D, X),
    "a mask of the device on the host": lambda: X[D[:, 0] > 0],
    "rows chosen by indices of the host": lambda: D.index_select(0, torch.tensor([1])),
    "weights of the host": lambda: nn.Linear(3, 2)(D),
    "a loss against targets of the host": lambda: nn.functional.cross_entropy(D, torch.tensor([0, 1, 2, 0])),
    "lengths on the device": lambda: pack_padded_sequence(D[None], torch.tensor([4]).to(DEVICE), batch_first=True),
    "a generator of the host": lambda: torch.rand(3, device=DEVICE, generator=torch.Generator()),
    "a draw in place by a generator of the host": lambda: D.clone().normal_(generator=torch.Generator()),
    "a permutation by a generator of the host": lambda: torch.randperm(3, device=DEVICE, generator=torch.Generator()),
    "an array": lambda: D.numpy(),
    "an array by numpy itself": lambda: np.asarray(D),
    "an array of many": lambda: np.stack([D.sum(), D.sum()]),
}
ALLOWED = {
    "a copy": lambda x: x.cpu() + X,
    "a number of the host": lambda x: x * torch.tensor(2.0) + 1,
    "indices of the host": lambda x: x[torch.tensor([0, 2])],
    "a tensor made on the device": lambda x: x + torch.arange(3, device=x.device) + x.new_tensor([1.0, 2.0, 3.0]),
    "a written part": lambda x: x.clone().index_put_((torch.tensor([1]),), torch.tensor(5.0)),
    "a view that is written": lambda x: operator.setitem(y := x.clone(), (slice(1), 0), 7.0) or y,
    "values as numbers": lambda x: torch.tensor(x.tolist()) * float(x.sum()),
}


@pytest.mark.parametrize("case", MIXED)
def test_what_a_gpu_refuses_is_refused(case):
    with pytest.raises((RuntimeError, TypeError), match=r"other:0|on the CPU"):
        MIXED[case]()


@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize("case", ALLOWED)
def test_what_a_gpu_allows_has_the_values_of_the_cpu(case, inference):
    with torch.inference_mode(inference):
        assert torch.equal(ALLOWED[case](D).cpu(), ALLOWED[case](X))


def trained(network, device):
    """The loss and the weights after three steps, and what is predicted then."""
    torch.manual_seed(0)
    network = copy.deepcopy(network).to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(network(X.to(device)), torch.tensor([0, 1, 2, 0]).to(device))
        loss.backward()
        optimizer.step()
    with torch.inference_mode():
        predicted = network.eval()(X.to(device))
    return [one.detach().cpu() for one in (loss, *network.state_dict().values(), predicted)]


def test_steps_have_the_bits_of_the_cpu():
    torch.manual_seed(1)
    network = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3))
    for found, expected in zip(trained(network, DEVICE), trained(network, HOST), strict=True):
        assert torch.equal(found, expected)


def test_weights_that_are_made_views_of_a_buffer_are_written_with_it():
    whole, layer = torch.zeros(6, device=DEVICE), nn.Linear(2, 3, bias=False).to(DEVICE)
    layer.weight.data = whole.view(3, 2)
    whole += 1
    copied = copy.deepcopy(layer)
    whole += 1
    assert layer.weight.tolist() == [[2, 2]] * 3
    assert copied.weight.tolist() == [[1, 1]] * 3
    assert layer.weight.data_ptr() == whole.data_ptr() != copied.weight.data_ptr()


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM])
def test_recurrence_over_packed_sequences_has_the_gradients_of_the_cpu(kind):
    network, x = kind(3, 5, 2, batch_first=True, bidirectional=True), torch.randn(3, 4, 3)
    found = []
    for device in (HOST, DEVICE):
        one = copy.deepcopy(network).to(device)
        packed = pack_padded_sequence(x.to(device), torch.tensor([4, 1, 2]), batch_first=True, enforce_sorted=False)
        outputs, ends = one(packed)
        total = outputs.data.square().sum() + sum(end.square().sum() for end in (ends if kind is nn.LSTM else [ends]))
        total.backward()
        found.append([parameter.grad.cpu() for parameter in one.parameters()])
    torch.testing.assert_close(found[1], found[0])
