import pytest
import torch
from torch import nn

from millstream.training.optimization.initialization import initialise


def filled(layer, how, seed=0):
    initialise(layer, how, seed)
    return layer


@pytest.mark.parametrize(
    ("how", "variance"),
    [
        ("he", lambda inputs, outputs: 2 / inputs),
        ("xavier", lambda inputs, outputs: 2 / (inputs + outputs)),
        ("uniform", lambda inputs, outputs: 1 / (3 * inputs)),
        ("orthogonal", lambda inputs, outputs: 1 / max(inputs, outputs)),
        ("zeros", lambda inputs, outputs: 0.0),
    ],
)
def test_weights_have_the_published_variance_and_biases_are_nothing(how, variance):
    layer = filled(nn.Linear(300, 200), how)
    # of 60,000 draws: the sample's variance is within 3 %
    assert float(layer.weight.detach().var()) == pytest.approx(variance(300, 200), rel=0.03)
    assert torch.count_nonzero(layer.bias) == 0
    if how in ("uniform", "xavier"):
        assert float(layer.weight.detach().abs().max()) <= (3 * variance(300, 200)) ** 0.5


@pytest.mark.parametrize("layer", [nn.Conv2d(24, 40, 5), nn.ConvTranspose2d(24, 40, 5)], ids=["down", "up"])
def test_the_inputs_of_a_convolution_are_its_patch(layer):
    assert float(filled(layer, "he").weight.detach().var()) == pytest.approx(2 / (24 * 25), rel=0.04)


def test_each_gate_of_a_recurrent_layer_is_a_matrix_of_its_own():
    layer = filled(nn.GRU(16, 16), "orthogonal")
    for weight in (layer.weight_ih_l0, layer.weight_hh_l0):
        for gate in weight.detach().chunk(3):
            torch.testing.assert_close(gate @ gate.T, torch.eye(16), atol=1e-5, rtol=0)
    assert torch.count_nonzero(layer.bias_hh_l0) == 0


def test_query_key_and_value_are_matrices_of_their_own():
    layer = filled(nn.MultiheadAttention(16, 2), "orthogonal")
    for weight in (*layer.in_proj_weight.detach().chunk(3), layer.out_proj.weight.detach()):
        torch.testing.assert_close(weight @ weight.T, torch.eye(16), atol=1e-5, rtol=0)


def test_embeddings_norms_and_own_parameters_stay():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.place = nn.Parameter(torch.ones(3, 3))
            self.table, self.norm = nn.Embedding(5, 4, padding_idx=0), nn.BatchNorm1d(4)

    network = Own()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    initialise(network, "zeros", 0)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_weight_follows_from_the_seed_and_its_name_alone():
    def network(more):
        return nn.Sequential(nn.Linear(4, 4), *more)

    small = filled(network([]), "he", seed=5)
    large = filled(network([nn.ReLU(), nn.Linear(4, 4)]), "he", seed=5)
    assert torch.equal(small[0].weight, large[0].weight)
    assert not torch.equal(large[0].weight, large[2].weight)
    assert not torch.equal(small[0].weight, filled(network([]), "he", seed=6)[0].weight)
