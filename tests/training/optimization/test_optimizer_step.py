import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Lasso, Ridge
from torch import nn

from millstream.training.config.fit import Fit
from millstream.training.optimization.gradient_reduction import Averaged
from millstream.training.optimization.optimizer_step import descend, penalise
from millstream.training.tasks.regress import Config, Regress
from tests.training.signatures import number, signature
from tests.training.tasks.made import batch, stepping


def fit(**fields):
    return Fit.model_validate({"optimizer": {"name": "sgd", "lr": 0.1}} | fields)


def step(network, losses, settings, optimizer=None):
    optimizer = optimizer or settings.optimizer.build(network.parameters())
    return descend(optimizer, losses, Averaged(network, settings.accumulate, torch.Tensor.backward), settings)


def task(network, **fields):
    inputs = [number(f"x{at}") for at in range(network.in_features)]
    return Regress(Config(target="y"), network, signature(*inputs, number("y", "target")), fit(**fields))


def known(rows=200, inputs=10, useful=3):
    """A linear relation to three of ten inputs, with little noise."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=(rows, inputs))
    weights = np.zeros(inputs)
    weights[:useful] = [2.0, -1.5, 1.0]
    return x, x @ weights + 0.1 * draw.normal(size=rows)


@pytest.mark.parametrize(
    ("fields", "oracle"),
    [
        # scikit-learn halves the mean of squares, and takes l2 times the sum
        ({"l1": 0.2}, Lasso(alpha=0.1, fit_intercept=True)),
        ({"l2": 0.5}, Ridge(alpha=0.25 * 200, fit_intercept=True)),
    ],
    ids=["lasso", "ridge"],
)
def test_a_penalised_regression_is_that_of_scikit_learn(fields, oracle):
    x, y = known()
    network = nn.Linear(10, 1)
    made = task(network, optimizer={"name": "sgd", "lr": 0.01}, **fields)
    stepping(made)
    whole = batch(torch.tensor(x, dtype=torch.float32), target=torch.tensor(y[:, None], dtype=torch.float32))
    for _ in range(2000):
        logged = made.training_step(whole, 0)
    oracle.fit(x, y)
    # a subgradient of |w| swings around 0 by a rate
    np.testing.assert_allclose(network.weight.detach()[0], oracle.coef_, atol=5e-3)
    np.testing.assert_allclose(network.bias.detach(), oracle.intercept_, atol=5e-3)
    if "l1" in fields:
        assert network.weight.detach()[0, 3:].abs().max() < 5e-3 < network.weight.detach()[0, :3].abs().min()
    # the penalty is stepped down, and not logged as the loss
    assert float(logged["train/loss"]) == pytest.approx(float(np.mean((y - oracle.predict(x)) ** 2)), rel=0.05)


def test_neither_biases_nor_norms_are_penalised():
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    weight = network[0].weight
    penalty = 0.5 * weight.abs().sum() + 0.125 * weight.square().sum()
    expected = torch.autograd.grad(penalty, weight)[0]
    found = penalise(network.parameters(), l1=0.5, l2=0.25)
    assert float(found) == pytest.approx(float(penalty))
    torch.testing.assert_close(weight.grad, expected)
    assert all(one.grad is None for one in (network[0].bias, *network[1].parameters()))


def test_a_gradient_is_cut_to_the_largest_norm():
    network, seen = nn.Linear(4, 1), torch.ones(2, 4)
    before = network.weight.detach().clone()
    found = step(network, lambda: [100 * network(seen).sum()], fit(clip=0.5))
    assert float(found.norm) == pytest.approx(100 * (4 * 2**2 + 2**2) ** 0.5)
    gradient = torch.cat([one.grad.flatten() for one in network.parameters()])
    assert float(gradient.norm()) == pytest.approx(0.5, rel=1e-4)
    torch.testing.assert_close(network.weight.detach() - before, -0.1 * network.weight.grad)


@given(
    rows=st.integers(1, 12),
    slots=st.integers(0, 6),
    parts=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_parts_add_up_to_the_gradient_of_the_whole(rows, slots, parts, seed):
    draw = torch.Generator().manual_seed(seed)
    network = nn.Linear(3, 1).double()
    x = torch.randn(rows + slots, 3, generator=draw, dtype=torch.float64)
    y = torch.randn(rows + slots, 1, generator=draw, dtype=torch.float64)
    whole = batch(x, target=y, real=rows)
    weights = torch.rand(rows + slots, generator=draw, dtype=torch.float64)
    whole = whole._replace(weight_B=weights * whole.mask_B)

    def gradient(pieces):
        network.zero_grad()
        for piece in pieces:
            piece.mean((network(piece.arguments[0]) - piece.truth).square()[:, 0]).backward()
        return torch.cat([one.grad.flatten() for one in network.parameters()])

    expected = (whole.weight_B * (network(x) - y).square()[:, 0]).sum() / rows
    torch.testing.assert_close(
        gradient(whole.parts(parts)),
        torch.cat([one.flatten() for one in torch.autograd.grad(expected, list(network.parameters()))]),
    )
    assert sum(len(piece.mask_B) for piece in whole.parts(parts)) == rows + slots


@pytest.mark.fault
@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_step_that_is_not_finite_leaves_weights_and_optimizer_as_they_were(loss):
    network, settings = nn.Linear(3, 1), fit(optimizer={"name": "adam"})
    optimizer = settings.optimizer.build(network.parameters())
    step(network, lambda: [network(torch.ones(1, 3)).sum()], settings, optimizer)
    weights = [one.detach().clone() for one in network.parameters()]
    moments = [optimizer.state[one]["exp_avg"].clone() for one in network.parameters()]
    found = step(network, lambda: [loss * network(torch.ones(1, 3)).sum()], settings, optimizer)
    assert not found.taken
    for at, one in enumerate(network.parameters()):
        assert torch.equal(one, weights[at])
        assert torch.equal(optimizer.state[one]["exp_avg"], moments[at])
        assert int(optimizer.state[one]["step"]) == 1


@pytest.mark.fault
def test_a_gradient_that_is_not_finite_is_no_step_either():
    network = nn.Linear(1, 1)
    before = network.weight.detach().clone()
    # sqrt at 0: the loss is finite, its slope is not
    found = step(network, lambda: [(network.weight * 0).sqrt().sum()], fit())
    assert float(found.loss) == 0
    assert not found.taken
    assert torch.equal(network.weight, before)


def test_lbfgs_looks_at_one_and_the_same_function():
    torch.manual_seed(5)
    network = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 1))
    x, looks = torch.randn(16, 3), []

    def losses():
        dropped = network[1](torch.ones(16, 8))
        looks.append(dropped)
        yield (network[2](dropped * network[0](x)) - 1).square().mean()

    found = step(network, losses, fit(optimizer={"name": "lbfgs", "iterations": 5}))
    assert found.taken
    assert len(looks) > 2
    assert all(torch.equal(one, looks[0]) for one in looks)


def test_lbfgs_in_parts_and_with_a_penalty_solves_ridge_regression():
    x, y = known()
    network = nn.Linear(10, 1)
    made = task(network, optimizer={"name": "lbfgs"}, l2=0.5, batch_size=200, accumulate=8)
    stepping(made)
    whole = batch(torch.tensor(x, dtype=torch.float32), target=torch.tensor(y[:, None], dtype=torch.float32))
    for _ in range(3):
        made.training_step(whole, 0)
    oracle = Ridge(alpha=0.25 * 200).fit(x, y)
    np.testing.assert_allclose(network.weight.detach()[0], oracle.coef_, atol=1e-4)
