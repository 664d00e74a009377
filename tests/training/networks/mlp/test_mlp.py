import pytest
import torch

from millstream.tracking.errors import BadData
from millstream.training.networks.mlp import mlp
from millstream.training.networks.mlp.mlp import Config
from tests.checks import check_network
from tests.training.signatures import category, image, number, signature, target, tokens

MIXED = signature(number("a"), category("b", 3), number("c"), category("d", 5), target(4))


def mixed(rows=6):
    generator = torch.Generator().manual_seed(0)
    categories = torch.stack([torch.arange(rows) % 3, torch.arange(rows) % 5], dim=1)
    return torch.randn(rows, 2, generator=generator), categories


@pytest.mark.parametrize(
    "config",
    [
        Config(),
        Config(hidden=(7,), activation="tanh", embedding=3),
        Config(hidden=(8, 6), norm="batch"),
        Config(hidden=(8, 6), norm="layer"),
        Config(hidden=(8, 6), norm="group"),
        Config(hidden=()),
        *(Config(hidden=(8, 6), activation=name) for name in mlp.ACTIVATIONS),
    ],
)
def test_an_mlp_keeps_the_network_contract(config):
    torch.manual_seed(0)
    check_network(mlp.build(config, MIXED), *mixed(), shape=(6, 4))


def test_an_mlp_reads_images_flat():
    check_network(mlp.build(Config(), signature(image(2, 4, 4), target(3))), torch.randn(5, 2, 4, 4), shape=(5, 3))


X = torch.linspace(-4, 4, 33, dtype=torch.float64)
FORMULAS = {
    "relu": X.clamp(min=0),
    "leaky_relu": torch.where(X > 0, X, 0.01 * X),  # Maas et al. 2013
    "elu": torch.where(X > 0, X, X.exp() - 1),  # Clevert et al. 2016, arXiv 1511.07289, with alpha = 1
    "gelu": X * (1 + torch.erf(X / 2**0.5)) / 2,  # Hendrycks & Gimpel 2016, arXiv 1606.08415
    "silu": X / (1 + (-X).exp()),
    "tanh": (X.exp() - (-X).exp()) / (X.exp() + (-X).exp()),
    "sigmoid": 1 / (1 + (-X).exp()),
}


@pytest.mark.parametrize("name", mlp.ACTIVATIONS)
def test_an_activation_is_its_formula(name):
    torch.testing.assert_close(mlp.ACTIVATIONS[name]()(X), FORMULAS[name])


def test_one_hidden_layer_is_the_formula():
    torch.manual_seed(0)
    network = mlp.build(Config(hidden=(7,), activation="tanh"), MIXED)
    numbers, categories = mixed()
    b_hot, d_hot = torch.eye(3)[categories[:, 0]], torch.eye(5)[categories[:, 1]]
    first, _, last = network.layers
    x = torch.cat([numbers, b_hot, d_hot], dim=1)
    expected = torch.tanh(x @ first.weight.T + first.bias) @ last.weight.T + last.bias
    torch.testing.assert_close(network(numbers, categories), expected)


def test_dropout_leaves_out_its_share_and_makes_up_for_it_in_training_alone():
    torch.manual_seed(0)
    network = mlp.build(Config(hidden=(4000,), dropout=0.25), signature(number("a"), target(3)))
    hidden = network.layers[:3]
    x = torch.ones(1, 1)
    whole = hidden.eval()(x)
    dropped = hidden.train()(x)
    active = whole > 0
    share = float((dropped[active] == 0).float().mean())
    assert share == pytest.approx(0.25, abs=0.03)  # of some 2,000 units
    left = active & (dropped > 0)
    torch.testing.assert_close(dropped[left], whole[left] / 0.75)


def test_a_number_as_target_makes_one_output():
    regression = signature(number("a"), number("b"), number("price", role="target"))
    assert mlp.build(Config(), regression)(torch.randn(3, 2)).shape == (3, 1)


@pytest.mark.bad_input
def test_sequences_are_refused_with_what_reads_them():
    with pytest.raises(BadData, match="recurrent network"):
        mlp.build(Config(), signature(tokens(5, 9), target(2)))
