import pytest
import torch

from millstream.tracking.errors import BadData
from millstream.training.feed.batch import Ragged
from millstream.training.networks.cnn import textcnn
from millstream.training.networks.cnn.textcnn import Config
from tests.checks import check_network
from tests.training.signatures import image, signature, target, tokens

SIGNATURE = signature(tokens(9, 12), target(3))
LENGTHS = torch.tensor([9, 1, 4])


def batch():
    found = torch.randint(2, 12, (3, 9), generator=torch.Generator().manual_seed(0))
    return found.masked_fill(torch.arange(9) >= LENGTHS[:, None], 0)


def built(**config):
    torch.manual_seed(0)
    return textcnn.build(Config(**{"embedding": 6, "maps": 5, **config}), SIGNATURE).eval()


def test_a_filter_answers_with_its_strongest_place_within_the_sentence():
    network = built()
    for row, length in enumerate(LENGTHS.tolist()):
        words = network.embedding(batch()[row])
        found = []
        for filters in network.filters:
            width = filters.kernel_size[0]
            padded = torch.cat([words[:length], network.embedding.weight[:1].expand(max(0, width - length), -1)])
            places = [padded[at : at + width] for at in range(len(padded) - width + 1)]
            # (maps, embedding, width) against (width, embedding)
            answers = [(filters.weight * place.T).sum(dim=(1, 2)) + filters.bias for place in places]
            found.append(torch.stack(answers).clamp(min=0).amax(dim=0))
        expected = network.head(torch.cat(found))
        torch.testing.assert_close(network(Ragged(batch(), LENGTHS))[row], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("pooling", ["max", "attention"])
def test_sentences_of_all_lengths_keep_the_network_contract(pooling):
    network = built(pooling=pooling, maps=20)
    check_network(network, Ragged(batch(), LENGTHS), shape=(3, 3))
    assert torch.isfinite(network(Ragged(torch.zeros(1, 1, dtype=torch.int64), torch.tensor([0])))).all()


def test_attention_weighs_places_within_the_sentence_alone_and_its_weights_add_up_to_one():
    pool = textcnn.Attended(5)
    is_inside = torch.arange(6) < torch.tensor([[6], [1], [3]])
    weights = pool.weights(torch.rand(3, 5, 6), is_inside)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(3))
    assert not weights[~is_inside].any()
    answers = torch.rand(3, 5, 6)
    torch.testing.assert_close(pool(answers, is_inside)[1], answers[1, :, 0])


@pytest.mark.parametrize("pooling", ["max", "attention"])
@pytest.mark.parametrize("widths", [(1,), (3, 4, 5)])
def test_words_are_regarded_by_shares_that_add_up_to_one_within_the_sentence(pooling, widths):
    network = built(pooling=pooling, widths=widths)
    shares = network.attended(Ragged(batch(), LENGTHS))
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(3))
    assert (shares >= 0).all()
    assert not shares[torch.arange(9) >= LENGTHS[:, None]].any()
    wider = torch.nn.functional.pad(batch(), (0, 5))
    torch.testing.assert_close(network.attended(Ragged(wider, LENGTHS))[:, :9], shares)


def test_the_word_that_every_filter_answers_to_is_regarded_alone():
    network = built(widths=(1,))
    with torch.no_grad():
        network.embedding.weight[7] = 100 * network.filters[0].weight[:, :, 0].sum(dim=0)
        network.filters[0].weight.abs_()
        network.embedding.weight[7].abs_()
    words = torch.tensor([[3, 7, 4, 5, 0, 0]])
    torch.testing.assert_close(
        network.attended(Ragged(words, torch.tensor([4]))), torch.tensor([[0.0, 1.0, 0.0, 0.0, 0.0, 0.0]])
    )


@pytest.mark.bad_input
def test_it_reads_sentences_alone():
    with pytest.raises(BadData, match="takes one input that is tokens"):
        textcnn.build(Config(), signature(image(1, 8, 8), target(2)))
