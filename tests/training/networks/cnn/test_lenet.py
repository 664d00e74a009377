import pytest
import torch

from millstream.tracking.errors import BadData
from millstream.training.networks.cnn import lenet
from millstream.training.networks.cnn.lenet import Config
from tests.training.signatures import image, number, signature, target


def test_lenet_has_the_papers_number_of_parameters():
    network = lenet.build(Config(), signature(image(1, 28, 28), target(10)))
    assert sum(one.numel() for one in network.parameters()) == 61_706


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 8, 8), (1, 13, 17)])
def test_lenet_takes_images_of_many_sizes(shape):
    network = lenet.build(Config(norm="batch"), signature(image(*shape), target(7)))
    x = torch.randn(4, *shape)
    assert network(x).shape == (4, 7)
    network(x).square().sum().backward()
    assert all(one.grad is not None and one.grad.abs().sum() > 0 for one in network.parameters())


@pytest.mark.parametrize("norm", ["none", "batch", "layer", "group"])
def test_a_row_does_not_depend_on_its_neighbours(norm):
    network = lenet.build(Config(norm=norm), signature(image(1, 8, 8), target(3))).eval()
    x = torch.randn(5, 1, 8, 8)
    torch.testing.assert_close(network(x)[2:3], network(x[2:3]), rtol=1e-5, atol=1e-6)


def test_what_does_not_fit_is_refused_with_what_was_found():
    with pytest.raises(BadData, match="8x8"):
        lenet.build(Config(), signature(image(1, 4, 4), target(3)))
    with pytest.raises(BadData, match=r"numbers \(number"):
        lenet.build(Config(), signature(number("a"), target(3)))
