import torch
from torch import nn

from millstream.training.objectives.mc_dropout import leaves_out, passes


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 500), nn.Dropout(0.3), nn.ReLU(), nn.Linear(500, 1)).eval()


X = torch.randn(8, 3, generator=torch.Generator().manual_seed(1))


def test_a_pass_predicts_the_same_of_a_row_whatever_stands_beside_it():
    made = network()
    with torch.no_grad():
        whole, alone = passes(made, (X,), 4, seed=7), passes(made, (X[5:6],), 4, seed=7)
    torch.testing.assert_close(alone, whole[5:6])


def test_passes_follow_from_the_seed_and_leave_the_network_as_it_was():
    made = network()
    before = made(X)
    state = torch.get_rng_state()
    first, again, other = (passes(made, (X,), 3, seed=seed) for seed in (7, 7, 8))
    assert torch.equal(first, again)
    assert not torch.isclose(first, other).all(dim=0).any()
    assert not torch.equal(first[..., 0], first[..., 1])
    assert torch.equal(made(X), before)
    assert torch.equal(torch.get_rng_state(), state)


def test_passes_leave_out_as_many_units_as_training_does():
    layer = nn.Dropout(0.3).eval()
    x = torch.ones(1, 2000)
    found = passes(layer, (x,), 20, seed=0)
    # 40,000 draws: a standard error of .0023
    torch.testing.assert_close((found == 0).float().mean(), torch.tensor(0.3), atol=0.01, rtol=0)
    torch.testing.assert_close(found[found > 0], torch.full_like(found[found > 0], 1 / 0.7))


def test_whole_maps_are_left_out_where_the_layer_does_so():
    found = passes(nn.Dropout2d(0.5).eval(), (torch.ones(2, 40, 3, 3),), 1, seed=0)[..., 0]
    assert set(found.flatten(2).std(dim=2).flatten().tolist()) == {0.0}
    assert set(found.flatten().tolist()) == {0.0, 2.0}


def test_a_network_without_dropout_is_recognized():
    assert leaves_out(network())
    assert not leaves_out(nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.0)))
