import copy

import pytest
import torch
from torch import nn

from millstream.training.explain.grad_cam import Looked, figures, grad_cam, maps_of
from millstream.training.feed.batch import Ragged
from millstream.training.networks.cnn import lenet, resnet, textcnn
from tests.training.signatures import image, number, signature, target, tokens

CLASSES = 4


class Mean(nn.Module):
    """A convolution, a mean over all places, and a full layer: what class activation maps were made for."""

    def __init__(self):
        super().__init__()
        self.convolve, self.head = nn.Conv2d(3, 5, 3), nn.Linear(5, CLASSES)

    def forward(self, x):
        return self.head(self.convolve(x).mean(dim=(2, 3)))


def looked(rows=5, side=16, inputs=None):
    with torch.inference_mode():  # as a test reads its batches
        given = (torch.rand(rows, 3, side, side),) if inputs is None else inputs
    return Looked(given, torch.arange(rows) % CLASSES)


def test_behind_a_mean_and_a_full_layer_it_is_the_class_activation_map():
    torch.manual_seed(0)
    network, images = Mean(), torch.rand(3, 3, 10, 12)
    chosen = torch.tensor([2, 0, 3])
    maps, scores = maps_of(network, {"convolve": network.convolve}, images)
    found = grad_cam(maps, scores, chosen, (8, 10))
    with torch.no_grad():
        by_hand = torch.einsum("bd,bdhw->bhw", network.head.weight[chosen], network.convolve(images)).clamp(min=0)
    torch.testing.assert_close(found, by_hand / by_hand.amax(dim=(1, 2), keepdim=True))


@pytest.mark.parametrize("depth", [20, 18])
def test_looking_draws_and_changes_nothing(depth):
    torch.manual_seed(0)
    network = resnet.build(resnet.Config(depth=depth, width=0.25), signature(image(3, 16, 16), target(CLASSES)))
    seen = looked()
    before, draws = copy.deepcopy(network.state_dict()), torch.get_rng_state()
    found = figures(network, signature(image(3, 16, 16), target(CLASSES)), seen)
    assert set(found) == {"filters", "feature_maps", "activation_maps"}
    assert len(found["activation_maps"].axes[0].texts) == 5
    assert len(found["feature_maps"].axes) == 2 * 5  # of five layers the image, and its maps
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in before.items())
    assert all(one.grad is None for one in network.parameters())
    assert network.training
    assert torch.equal(torch.get_rng_state(), draws)


def test_maps_of_one_place_are_passed_over():
    network = lenet.build(lenet.Config(), signature(image(3, 16, 16), target(CLASSES)))
    layers = {name: one for name, one in network.named_modules() if isinstance(one, nn.Conv2d)}
    maps, scores = maps_of(network, layers, torch.rand(2, 3, 16, 16))
    assert grad_cam(maps | {"last": maps.popitem()[1][..., :1, :1]}, scores, torch.tensor([0, 1]), (16, 16)).any()


def test_a_network_without_convolutions_shows_nothing():
    perceptron = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, CLASSES))
    assert figures(perceptron, signature(image(3, 16, 16), target(CLASSES)), looked()) == {}
    of_numbers = signature(*(number(f"x{at}") for at in range(6)), target(CLASSES))
    assert figures(nn.Linear(6, CLASSES), of_numbers, looked(inputs=(torch.rand(5, 6),))) == {}


@pytest.mark.parametrize("pooling", ["max", "attention"])
def test_words_are_shown_by_how_much_they_are_regarded(pooling):
    described = signature(tokens(9, 12), target(CLASSES))
    network = textcnn.build(textcnn.Config(embedding=6, maps=5, pooling=pooling), described)
    lengths = torch.tensor([9, 1, 4, 2, 7])
    words = torch.randint(2, 12, (5, 9)).masked_fill(torch.arange(9) >= lengths[:, None], 0)
    found = figures(network, described, looked(inputs=(Ragged(words, lengths),)))
    shown = [text.get_text() for text in found["attended_words"].axes[0].texts]
    assert len(shown) == 5 + int(lengths.sum())  # a title each, and every word of the sentence alone
