import pytest
import torch

from millstream.tracking.errors import BadData
from millstream.training.feed.batch import Ragged
from millstream.training.networks.rnn import recurrent
from millstream.training.networks.rnn.recurrent import Config
from tests.checks import check_network
from tests.training.signatures import image, number, signature, target, tokens

SEQUENCE = signature(tokens(6, 10), target(4))
LENGTHS = torch.tensor([6, 2, 4])


def ragged():
    found = torch.randint(1, 10, (3, 6), generator=torch.Generator().manual_seed(0))
    return Ragged(found.masked_fill(torch.arange(6) >= LENGTHS[:, None], 0), LENGTHS)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("scores", ["last", "mean"])
def test_it_keeps_the_network_contract_over_tokens(cell, scores):
    torch.manual_seed(0)
    config = Config(cell=cell, hidden=6, embedding=5, layers=2, both_ways=True, residual=True, scores=scores)
    check_network(recurrent.build(config, SEQUENCE), ragged(), shape=(3, 4))


@pytest.mark.parametrize("unrolled", [{}, {"unrolled": True, "peephole": True, "layer_norm": True}])
def test_the_last_score_is_that_of_the_last_token_of_each_row(unrolled):
    torch.manual_seed(0)
    network = recurrent.build(Config(hidden=6, embedding=5, **unrolled), SEQUENCE).eval()
    scores, given = network(ragged()), ragged()
    for row, length in enumerate(LENGTHS.tolist()):
        outputs, _ = network.recurrent(network.embedding(given.values[row : row + 1, :length]))
        torch.testing.assert_close(scores[row], network.head(outputs[0, -1]), rtol=1e-4, atol=1e-5)


def test_an_image_is_read_row_by_row_or_pixel_by_pixel():
    given, shape = torch.arange(24.0).reshape(1, 2, 3, 4), signature(image(2, 3, 4), target(4))
    by_rows = recurrent.build(Config(), shape).steps(given)[0]
    by_pixels = recurrent.build(Config(image="pixels"), shape).steps(given)[0]
    assert by_rows[0, 1].tolist() == [*given[0, 0, 1].tolist(), *given[0, 1, 1].tolist()]
    assert by_pixels.shape == (1, 12, 2)
    assert by_pixels[0, 5].tolist() == given[0, :, 1, 1].tolist()


@pytest.mark.bad_input
def test_other_inputs_than_one_sequence_are_refused():
    with pytest.raises(BadData, match="one input of tokens, a series or an image"):
        recurrent.build(Config(), signature(number("a"), target(4)))
    with pytest.raises(BadData, match="one input of tokens, a series or an image"):
        recurrent.build(Config(), signature(tokens(6, 10), number("a"), target(4)))
