import pytest
import torch

from millstream.tracking.errors import BadData
from millstream.training.networks.cnn import lenet
from millstream.training.networks.cnn.lenet import Config
from tests.checks import check_network
from tests.training.signatures import image, number, signature, target


def test_lenet_has_the_papers_number_of_parameters():
    network = lenet.build(Config(), signature(image(1, 28, 28), target(10)))
    assert sum(one.numel() for one in network.parameters()) == 61_706


@pytest.mark.parametrize(
    ("shape", "norm"),
    [((1, 28, 28), "none"), ((3, 32, 32), "batch"), ((1, 8, 8), "layer"), ((1, 8, 8), "group"), ((1, 13, 17), "batch")],
)
def test_images_of_many_sizes_keep_the_network_contract(shape, norm):
    torch.manual_seed(0)
    network = lenet.build(Config(norm=norm), signature(image(*shape), target(7)))
    check_network(network, torch.randn(4, *shape), shape=(4, 7))


def test_what_does_not_fit_is_refused_with_what_was_found():
    with pytest.raises(BadData, match="8x8"):
        lenet.build(Config(), signature(image(1, 4, 4), target(3)))
    with pytest.raises(BadData, match=r"numbers \(number"):
        lenet.build(Config(), signature(number("a"), target(3)))
