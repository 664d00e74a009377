import math

import pytest
import torch
from torch.distributions import MultivariateNormal

from millstream.tracking.errors import BadData
from millstream.training.networks.mlp import flow
from millstream.training.networks.mlp.flow import Config
from tests.checks import check_network
from tests.training.signatures import category, number, signature

PLANE = signature(number("a"), number("b"))
SMALL = Config(layers=2, hidden=(16,))


def made(config=SMALL, of=PLANE):
    torch.manual_seed(0)
    return flow.build(config, of)


def test_an_affine_flow_keeps_the_network_contract():
    check_network(made(Config(kind="affine", layers=2, hidden=(16, 16))), torch.randn(6, 2), shape=(6,))


def test_a_flow_has_the_parameters_of_its_masked_networks():
    # a spline of K bins has K widths, K heights and K - 1 slopes inside (Durkan et al. 2019, section 3.1)
    config = Config(layers=3, hidden=(64, 64), bins=8)
    one = 2 * 64 + 64 + 64 * 64 + 64 + 64 * 2 * 23 + 2 * 23
    assert sum(parameter.numel() for parameter in made(config).parameters()) == 3 * one


@pytest.mark.parametrize("kind", ["spline", "affine"])
def test_the_density_of_a_flow_has_the_mass_one(kind):
    network = made(Config(kind=kind, layers=2, hidden=(16,)))
    for parameter in network.parameters():  # far from the identity
        parameter.data.mul_(1.5)
    ticks = torch.linspace(-12, 12, 601)
    points = torch.cartesian_prod(ticks, ticks)
    with torch.no_grad():
        mass = network(points).double().exp().sum() * float(ticks[1] - ticks[0]) ** 2
    # a grid of .04: what the sum of a density with kinks leaves
    assert float(mass) == pytest.approx(1, abs=5e-3)


def test_the_density_is_that_of_the_base_times_the_change_of_volume():
    network, x_BD = made(), torch.randn(5, 2, generator=torch.Generator().manual_seed(1))
    transform = network.flow().transform
    for x_D, log_p in zip(x_BD, network(x_BD), strict=True):
        jacobian = torch.autograd.functional.jacobian(transform, x_D)
        base = -0.5 * transform(x_D).square().sum() - math.log(2 * math.pi)
        torch.testing.assert_close(log_p, base + jacobian.det().abs().log(), rtol=1e-4, atol=1e-4)


def test_an_affine_flow_learns_a_correlated_normal_distribution_and_draws_from_it():
    distribution = MultivariateNormal(torch.tensor([0.5, -1.0]), torch.tensor([[1.0, 0.6], [0.6, 0.5]]))
    torch.manual_seed(0)
    x_BD = distribution.sample((1000,))
    network = made(Config(kind="affine", layers=2, hidden=(16,)))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(300):
        optimizer.zero_grad()
        (-network(x_BD).mean()).backward()
        optimizer.step()
    fresh_BD = distribution.sample((5000,))
    # 5 parameters learned from 1,000 rows cost .0025 nats; the flow has more of them
    assert float(distribution.log_prob(fresh_BD).mean() - network(fresh_BD).mean()) < 0.03
    drawn_BD = network.sample(5000)
    torch.testing.assert_close(drawn_BD.mean(0), distribution.mean, atol=0.1, rtol=0)
    torch.testing.assert_close(drawn_BD.T.cov(), distribution.covariance_matrix, atol=0.1, rtol=0)


@pytest.mark.bad_input
def test_categories_are_refused():
    with pytest.raises(BadData, match="takes one input that is number"):
        made(of=signature(number("a"), category("b", 3)))
