import pytest
import torch

from millstream.tracking.errors import BadData
from millstream.training.networks.generative import gan
from millstream.training.networks.generative.gan import Config
from tests.checks import check_network
from tests.training.signatures import image, signature


def made(shape=(1, 8, 8), **config):
    torch.manual_seed(0)
    return gan.build(Config(**{"latent": 5, "channels": 4, "dropout": 0.0, **config}), signature(image(*shape)))


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 12)])
def test_both_networks_keep_the_network_contract(shape):
    network = made(shape)
    check_network(network.discriminator, torch.rand(4, *shape), shape=(4,))
    check_network(network.generator, torch.randn(4, 5), shape=(4, *shape))


def test_made_images_have_the_range_of_real_ones():
    images = made().generator(100 * torch.randn(16, 5))
    assert images.min() >= 0
    assert images.max() <= 1


@pytest.mark.bad_input
def test_sides_that_cannot_be_halved_twice_are_refused():
    with pytest.raises(BadData, match="4 must divide"):
        made((1, 28, 30))
