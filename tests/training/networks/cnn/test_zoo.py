"""What must hold for every network for images of the course, each measured against its paper."""

import pytest
import torch
from torch import nn

from millstream.tracking.errors import BadData
from millstream.training.networks.cnn import convnet, lenet, nin, resnet, vgg
from millstream.training.networks.cnn.resnet import Block
from tests.checks import check_network
from tests.training.signatures import image, number, signature, target

CIFAR = signature(image(3, 32, 32), target(10))
SMALL = {
    "convnet": (convnet, {"maps": (16, 32), "groups": (1, 4), "dilation": 2}),
    "vgg": (vgg, {"depth": 11, "width": 0.05}),
    "nin": (nin, {"width": 0.05, "norm": "batch"}),
    "nin of 3x3": (nin, {"width": 0.05, "within": 3, "norm": "batch"}),
    "resnet": (resnet, {"width": 0.5}),
    "resnet of four stages": (resnet, {"depth": 18, "width": 0.1}),
    "plain": (resnet, {"residual": False, "width": 0.5}),
    "se": (resnet, {"attention": "se", "width": 0.5}),
    "cbam": (resnet, {"attention": "cbam", "width": 0.5}),
    "self-attention": (resnet, {"attention": "self", "width": 0.5}),
}


def built(module, config, shape=CIFAR, seed=0):
    torch.manual_seed(seed)
    return module.build(module.Config(**config), shape)


def parameters(network):
    return sum(one.numel() for one in network.parameters())


@pytest.mark.parametrize(
    ("module", "config", "millions", "digits"),
    [
        (vgg, {"depth": 16}, 14.7, 1),
        (nin, {}, 0.97, 2),
        (resnet, {"depth": 20}, 0.27, 2),
        (resnet, {"depth": 32}, 0.46, 2),
        (resnet, {"depth": 44}, 0.66, 2),
        (resnet, {"depth": 56}, 0.85, 2),
        (resnet, {"depth": 110}, 1.7, 1),
        (resnet, {"depth": 18}, 11.2, 1),
        (resnet, {"depth": 20, "residual": False}, 0.27, 2),
        (resnet, {"depth": 20, "attention": "se"}, 0.27, 2),
    ],
)
def test_a_network_has_the_papers_number_of_parameters(module, config, millions, digits):
    assert round(parameters(built(module, config)) / 1e6, digits) == millions


@pytest.mark.parametrize("depth", [11, 13, 16, 19])
def test_vgg_has_as_many_layers_with_weights_as_its_name_has_less_the_two_full_ones(depth):
    network = built(vgg, {"depth": depth, "width": 0.05})
    assert sum(isinstance(layer, nn.Conv2d | nn.Linear) for layer in network.modules()) == depth - 2


@pytest.mark.parametrize("depth", [18, 20, 32, 34, 44, 56, 110])
def test_resnet_has_as_many_layers_with_weights_as_its_name_has(depth):
    network = built(resnet, {"depth": depth, "width": 0.1})
    assert 2 * sum(isinstance(layer, Block) for layer in network.modules()) + 2 == depth


@pytest.mark.parametrize("name", SMALL)
def test_each_kind_keeps_the_network_contract(name):
    network = built(*SMALL[name])
    # self-attention begins with a share of 0, and both of two units behind a ReLU may be dead
    with torch.no_grad():
        for path, one in network.named_parameters():
            if path.endswith(("share", "weigh.0.bias")):
                one.fill_(1.0)
    check_network(network, torch.randn(4, 3, 32, 32), shape=(4, 10))


@pytest.mark.parametrize("name", SMALL)
def test_a_network_can_be_exported(name):
    network, x = built(*SMALL[name]).eval(), torch.randn(2, 3, 32, 32)
    rows = torch.export.Dim("rows", min=1)
    exported = torch.export.export(network, (x,), dynamic_shapes=({0: rows},)).module()
    more = torch.randn(5, 3, 32, 32)
    torch.testing.assert_close(exported(more), network(more), rtol=1e-4, atol=1e-5)


def test_a_block_that_learned_nothing_passes_its_input_on_with_zeros_in_new_maps():
    block = Block(resnet.Config(), 4, 8, 2, projected=False).eval()
    for layer in block.branch:
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.zeros_(layer.weight)
    x = torch.rand(2, 4, 6, 6)
    expected = torch.cat([x[:, :, ::2, ::2], torch.zeros(2, 4, 3, 3)], dim=1)
    torch.testing.assert_close(block(x), expected)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("module", "side", "sizes"), [(lenet, 4, "8x8"), (vgg, 16, "32x32.*resize"), (nin, 2, "4x4"), (resnet, 2, "4x4")]
)
def test_images_that_are_too_small_are_refused_with_what_it_takes(module, side, sizes):
    with pytest.raises(BadData, match=sizes):
        built(module, {}, signature(image(3, side, side), target(10)))
    with pytest.raises(BadData, match=r"numbers \(number"):
        built(module, {}, signature(number("a"), target(10)))
