import pytest
import torch
from torch import nn

from millstream.tracking.dataset.records import Column
from millstream.tracking.errors import BadData
from millstream.training.networks.cnn import unet
from millstream.training.networks.cnn.unet import Config
from tests.checks import check_network
from tests.training.signatures import image, number, signature

GROWTHS = ["nearest", "bilinear", "transposed", "shuffle", "unpool"]


def mask(*shape):
    return Column(name="mask", dtype="uint8", layout="tensor", shape=shape, axes="CHW", role="target", meaning="image")


def built(shape=(3, 32, 32), maps=1, **config):
    torch.manual_seed(0)
    return unet.build(
        Config(**{"channels": 4, "poolings": 2, **config}), signature(image(*shape), mask(maps, *shape[1:]))
    )


def test_unet_has_the_papers_number_of_parameters():
    network = unet.build(Config(channels=64, norm="none"), signature(image(1, 32, 32), mask(2, 32, 32)))
    # Ronneberger et al. 2015 have the same layers; one bias a convolution
    assert round(sum(one.numel() for one in network.parameters()) / 1e6, 1) == 31.0
    assert sum(isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) for layer in network.modules()) == 23


@pytest.mark.parametrize("skips", [True, False])
@pytest.mark.parametrize("growth", GROWTHS)
def test_scores_lie_on_the_image_and_every_parameter_learns(growth, skips):
    network, x = built(growth=growth, skips=skips, maps=2), torch.randn(3, 3, 32, 32)
    check_network(network, x, shape=(3, 2, 32, 32))


@pytest.mark.parametrize("growth", GROWTHS)
def test_a_network_can_be_exported(growth):
    network, x = built(growth=growth).eval(), torch.randn(2, 3, 32, 32)
    rows = torch.export.Dim("rows", min=1)
    exported = torch.export.export(network, (x,), dynamic_shapes=({0: rows},)).module()
    more = torch.randn(5, 3, 32, 32)
    torch.testing.assert_close(exported(more), network(more), rtol=1e-4, atol=1e-5)


@pytest.mark.bad_input
def test_images_that_cannot_be_halved_are_refused_with_what_it_takes():
    with pytest.raises(BadData, match=r"\(30, 32\).*sides that 4 divides"):
        built(shape=(3, 30, 32))
    with pytest.raises(BadData, match=r"numbers \(number"):
        unet.build(Config(), signature(number("a"), mask(1, 8, 8)))
