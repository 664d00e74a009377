import torch

from millstream.training.feed.batch import Ragged
from millstream.training.networks.rnn import gru
from millstream.training.networks.rnn.gru import Config
from tests.checks import check_network
from tests.training.signatures import signature, target, tokens

SIGNATURE = signature(tokens(6, 10), target(4))
LENGTHS = torch.tensor([6, 2, 4])


def batch():
    found = torch.randint(1, 10, (3, 6), generator=torch.Generator().manual_seed(0))
    return found.masked_fill(torch.arange(6) >= LENGTHS[:, None], 0)


def test_gru_matches_the_gate_equations():
    torch.manual_seed(0)
    network = gru.build(Config(embedding=5, hidden=7), SIGNATURE).eval()
    read, x = network.read, network.embedding(batch())
    for row, length in enumerate(LENGTHS.tolist()):
        h = torch.zeros(7)
        for step in range(length):
            # Cho et al. 2014, equations 5 to 8, with torch's order of gates and its inner bias
            gates_x = read.weight_ih_l0 @ x[row, step] + read.bias_ih_l0
            gates_h = read.weight_hh_l0 @ h + read.bias_hh_l0
            reset = torch.sigmoid(gates_x[:7] + gates_h[:7])
            update = torch.sigmoid(gates_x[7:14] + gates_h[7:14])
            new = torch.tanh(gates_x[14:] + reset * gates_h[14:])
            h = (1 - update) * new + update * h
        torch.testing.assert_close(network(Ragged(batch(), LENGTHS))[row], network.head(h), rtol=1e-5, atol=1e-6)


def test_a_row_of_a_masked_slot_does_no_harm():
    network = gru.build(Config(), SIGNATURE)
    scores = network(Ragged(torch.zeros(2, 1, dtype=torch.int64), torch.tensor([0, 1])))
    assert torch.isfinite(scores).all()


def test_layers_in_both_ways_keep_the_network_contract():
    torch.manual_seed(0)
    network = gru.build(Config(layers=2, both_ways=True, dropout=0.1), SIGNATURE)
    check_network(network, Ragged(batch(), LENGTHS), shape=(3, 4))
