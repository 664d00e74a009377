import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from millstream.training.checkpoints import archive
from millstream.training.config.fit import Fit
from millstream.training.config.optimizers import AnyOptimizer
from millstream.training.optimization.flat_steps import FlatSteps, flattened
from millstream.training.optimization.gradient_reduction import Averaged
from millstream.training.optimization.optimizer_step import descend

CHOSEN = [
    {"name": "sgd", "lr": 0.1},
    {"name": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
    {"name": "rmsprop", "weight_decay": 0.01},
    {"name": "adagrad", "weight_decay": 0.01},
    {"name": "adadelta", "weight_decay": 0.01},
    {"name": "adam", "weight_decay": 0.01},
    {"name": "adamw"},
]
SHAPES = ((33, 17), (33,), (5, 33), (5,), (1,), (), (3, 2, 5, 5), (260, 130))


pytestmark = pytest.mark.usefixtures("one_thread")


def made(chosen, seed=0):
    """Parameters, and the recipe's optimizer of them, per parameter."""
    draws = torch.Generator().manual_seed(seed)
    parameters = [nn.Parameter(torch.randn(shape, generator=draws)) for shape in SHAPES]
    return parameters, TypeAdapter(AnyOptimizer).validate_python(chosen).build(parameters)


def step(parameters, optimizer, number, without=()):
    """A step with gradients that depend on `number` alone; none for the parameters `without`."""
    draws = torch.Generator().manual_seed(number)
    for at, one in enumerate(parameters):
        gradient = torch.randn(one.shape, generator=draws) * 10.0 ** -(at % 4)
        one.grad = None if at in without else gradient
    for group in optimizer.param_groups:
        group["lr"] = 0.01 / (1 + number)
    optimizer.step()


def differences(found, wanted):
    return [at for at, (one, other) in enumerate(zip(found, wanted, strict=True)) if not torch.equal(one, other)]


def assert_same_state(optimizer, expected):
    torch.testing.assert_close(optimizer.state_dict()["state"], expected.state_dict()["state"], rtol=0, atol=0)


@pytest.mark.parametrize("chosen", CHOSEN, ids=lambda one: "-".join(map(str, one.values())))
def test_flat_steps_are_those_per_parameter_to_the_bit_and_so_is_the_state(chosen):
    plain, expected = made(chosen)
    own, plain_optimizer = made(chosen)
    optimizer = flattened(plain_optimizer)
    for number in range(20):
        step(plain, expected, number)
        step(own, optimizer, number)
        assert differences(own, plain) == [], number
    assert optimizer.flat.groups  # it was flat
    assert_same_state(optimizer, expected)
    assert optimizer.state_dict()["param_groups"] == expected.state_dict()["param_groups"]


@pytest.mark.parametrize("chosen", CHOSEN, ids=lambda one: "-".join(map(str, one.values())))
@pytest.mark.parametrize("first", ["flat", "per parameter"])
def test_a_checkpoint_resumes_with_flat_steps_and_without(tmp_path, chosen, first):
    plain, expected = made(chosen)
    for number in range(12):
        step(plain, expected, number)

    def start(seed, is_flat):
        parameters, optimizer = made(chosen, seed)
        return parameters, flattened(optimizer) if is_flat else optimizer

    parameters, optimizer = start(0, first == "flat")
    for number in range(6):
        step(parameters, optimizer, number)
    archive.save({"optimizer": optimizer.state_dict(), "weights": parameters}, tmp_path / "one.ckpt")
    saved = archive.load(tmp_path / "one.ckpt")
    again, other = start(1, first != "flat")
    step(again, other, 99)  # of its own, before it is loaded
    with torch.no_grad():
        for one, value in zip(again, saved["weights"], strict=True):
            one.copy_(value)
    other.load_state_dict(saved["optimizer"])
    for number in range(6, 12):
        step(again, other, number)
    assert differences(again, plain) == []
    assert_same_state(other, expected)


@pytest.mark.parametrize("chosen", CHOSEN, ids=lambda one: "-".join(map(str, one.values())))
def test_a_parameter_without_a_gradient_is_left_alone_as_without_flat_steps(chosen):
    plain, expected = made(chosen)
    own, plain_optimizer = made(chosen)
    optimizer = flattened(plain_optimizer)
    for number, without in enumerate([(2,), (2,), (2, 3), (), (0,), ()]):
        step(plain, expected, number, without)
        step(own, optimizer, number, without)
        assert differences(own, plain) == [], number
    assert_same_state(optimizer, expected)


def test_groups_keep_their_own_settings():
    def grouped():
        parameters, _ = made(CHOSEN[-1])
        groups = [{"params": parameters[:3], "weight_decay": 0.5}, {"params": parameters[3:], "betas": (0.5, 0.6)}]
        return parameters, torch.optim.AdamW(groups, lr=0.01)

    (plain, expected), (own, optimizer) = grouped(), grouped()
    optimizer = flattened(optimizer)
    for number in range(8):
        step(plain, expected, number)
        step(own, optimizer, number)
    assert len(optimizer.flat.groups) == 2
    assert differences(own, plain) == []


def test_two_optimizers_of_one_parameter_both_change_it():
    def shared():
        parameters, one = made(CHOSEN[-1])
        return parameters, one, torch.optim.SGD(parameters[2:4], lr=0.1, momentum=0.9)

    plain, first, second = shared()
    own, *optimizers = shared()
    optimizers = [flattened(one) for one in optimizers]
    for number in range(8):
        step(plain, first, number)
        step(plain[2:4], second, number)
        step(own, optimizers[0], number)
        step(own[2:4], optimizers[1], number)
        assert differences(own, plain) == [], number


def test_weights_that_were_moved_elsewhere_are_still_trained():
    (plain, expected), (own, optimizer) = made(CHOSEN[-1]), made(CHOSEN[-1])
    optimizer = flattened(optimizer)
    for number in range(6):
        if number == 3:
            own[0].data = own[0].data.clone()
        step(plain, expected, number)
        step(own, optimizer, number)
    assert differences(own, plain) == []


def test_channels_of_a_pixel_kept_together_stay_so():
    (plain, expected), (own, optimizer) = made(CHOSEN[-1]), made(CHOSEN[-1])
    own[6].data = own[6].data.to(memory_format=torch.channels_last)
    strides, optimizer = own[6].stride(), flattened(optimizer)
    for number in range(4):
        step(plain, expected, number)
        step(own, optimizer, number)
    assert own[6].stride() == strides
    assert optimizer.flat.groups
    assert differences(own, plain) == []


def test_a_graph_from_before_a_step_is_refused_as_ever():
    weight = nn.Parameter(torch.ones(3))
    optimizer = flattened(torch.optim.SGD([weight], lr=0.1))
    loss = (weight**2).sum()
    loss.backward(retain_graph=True)
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_a_parameter_begins_where_torch_would_have_put_it():
    parameters, optimizer = made(CHOSEN[-1])
    step(parameters, flattened(optimizer), 0)
    assert {one.data_ptr() % 64 for one in parameters} == {0}


def test_a_step_that_is_no_sum_over_weights_stays_per_parameter():
    optimizer = made({"name": "lbfgs"})[1]
    assert flattened(optimizer) is optimizer
    assert not isinstance(optimizer, FlatSteps)


@pytest.mark.parametrize(("clip", "tolerance"), [(None, 0), (0.5, 1e-6)])
def test_a_step_of_a_network_is_that_per_parameter(clip, tolerance):
    settings = Fit.model_validate({"optimizer": {"name": "adamw"}, "clip": clip, "l1": 1e-3, "l2": 1e-3})

    def trained(prepare):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(9, 33), nn.Tanh(), nn.Linear(33, 3))
        network[0].bias.requires_grad_(False)
        optimizer = prepare(settings.optimizer.build(network.parameters()))
        gradients = Averaged(network, 1, torch.Tensor.backward)
        for number in range(20):
            x = torch.randn(16, 9, generator=torch.Generator().manual_seed(number))
            steps = descend(optimizer, lambda x=x: iter([(network(x) ** 2).mean()]), gradients, settings)
        return [one.detach() for one in network.parameters()], steps

    (found, last), (wanted, expected) = trained(flattened), trained(lambda one: one)
    torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(last.norm, expected.norm, rtol=1e-6, atol=0)
    assert last.taken
