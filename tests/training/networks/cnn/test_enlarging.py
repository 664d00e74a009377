"""What must hold for every network that predicts fine images, each measured against its paper."""

import math

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from millstream.tracking.errors import BadData
from millstream.training.layers.enlarge import enlarged
from millstream.training.networks.cnn import espcn, srcnn, srresnet, vdsr
from tests.checks import check_network
from tests.training.networks.cnn.enlarging import pair
from tests.training.signatures import image, signature, target

GROWTHS = ("nearest", "bilinear", "transposed", "shuffle")
SMALL = {
    "srcnn": (srcnn, {"channels": (8, 4)}),
    "residual srcnn": (srcnn, {"channels": (8, 4), "residual": True}),
    **{f"espcn by {growth}": (espcn, {"channels": (16, 8), "growth": growth}) for growth in GROWTHS},
    "residual espcn of relu": (espcn, {"channels": (8, 8), "activation": "relu", "residual": True}),
    "vdsr": (vdsr, {"layers": 4, "channels": 8}),
    "srresnet": (srresnet, {"blocks": 2, "channels": 8}),
    "residual srresnet": (srresnet, {"blocks": 2, "channels": 8, "residual": True}),
}


def built(module, config, shape=(1, 8, 6), factor=3):
    torch.manual_seed(0)
    return module.build(module.Config(**config), pair(*shape, factor=factor))


def parameters(network, *, biases=True):
    return sum(one.numel() for name, one in network.named_parameters() if biases or not name.endswith("bias"))


@pytest.mark.parametrize(
    ("module", "config", "weights"),
    [
        (srcnn, {}, 8_032),  # Dong et al. 2016, section 4.3.2: 9-1-5, 9-3-5 and 9-5-5
        (srcnn, {"kernels": (9, 3, 5)}, 24_416),
        (srcnn, {"kernels": (9, 5, 5)}, 57_184),
        (vdsr, {}, 664_704),  # Kim et al. 2016: 20 layers of 3x3 with 64 maps; others report 665 K
    ],
)
def test_a_network_has_the_papers_number_of_weights(module, config, weights):
    assert parameters(built(module, config), biases=False) == weights


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_espcn_has_the_parameters_of_its_three_layers(factor):
    layers = [(5, 1, 64), (3, 64, 32), (3, 32, factor**2)]  # Shi et al. 2016, section 3.3: side, maps before and after
    wanted = sum(side**2 * before * after + after for side, before, after in layers)
    assert parameters(built(espcn, {}, factor=factor)) == wanted


def test_srresnet_has_as_many_layers_as_the_papers_figure():
    network = built(srresnet, {}, shape=(3, 8, 6), factor=4)
    kinds = [type(layer) for layer in network.modules()]
    # Ledig et al. 2017, figure 4: 16 blocks of two, one before, one behind, two that grow, and the last
    assert kinds.count(nn.Conv2d) == 2 * 16 + 1 + 1 + 2 + 1
    assert (kinds.count(nn.BatchNorm2d), kinds.count(nn.PixelShuffle)) == (2 * 16 + 1, 2)
    assert parameters(network) == 1_549_462


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("name", SMALL)
def test_fine_images_are_larger_by_the_factor_and_every_parameter_learns(name, factor):
    module, config = SMALL[name]
    network = built(module, config, shape=(3, 8, 6), factor=factor)
    check_network(network, torch.rand(3, 3, 8, 6), shape=(3, 3, 8 * factor, 6 * factor))


@pytest.mark.parametrize("name", SMALL)
def test_a_network_can_be_exported(name):
    network, x = built(*SMALL[name]).eval(), torch.rand(2, 1, 8, 6)
    rows = torch.export.Dim("rows", min=1)
    exported = torch.export.export(network, (x,), dynamic_shapes=({0: rows},)).module()
    more = torch.rand(5, 1, 8, 6)
    torch.testing.assert_close(exported(more), network(more), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["residual srcnn", "residual espcn of relu", "vdsr"])
def test_residual_networks_that_found_nothing_enlarge_bicubically(name):
    network, x = built(*SMALL[name]), torch.rand(2, 1, 8, 6)
    for parameter in network.parameters():
        nn.init.zeros_(parameter)
    torch.testing.assert_close(network(x), enlarged(x, 3))


def test_each_map_of_espcn_is_one_pixel_of_the_block_that_a_coarse_pixel_becomes():
    network, x = built(espcn, {}), torch.rand(1, 1, 8, 6)
    maps = network.layers[4].layers[0](network.layers[:4](x))
    # Shi et al. 2016, equation 4
    for row, column in ((0, 0), (23, 17), (4, 11)):
        at = 3 * (row % 3) + column % 3
        torch.testing.assert_close(network(x)[0, 0, row, column], maps[0, at, row // 3, column // 3])


@pytest.mark.parametrize("number", [2, 3, 4, 6, 8, 9, 12])
def test_srresnet_grows_by_primes(number):
    found = srresnet.primes(number)
    assert math.prod(found) == number
    assert set(found) <= {2, 3}


@pytest.mark.bad_input
@pytest.mark.parametrize("module", [srcnn, espcn, vdsr, srresnet])
def test_data_without_fine_images_are_refused(module):
    with pytest.raises(BadData, match="the step coarsen makes"):
        module.build(module.Config(), signature(image(1, 8, 6), target(3)))


@pytest.mark.bad_input
def test_kernels_without_a_middle_are_refused():
    with pytest.raises(ValidationError, match="only odd kernels"):
        srcnn.Config(kernels=(9, 2, 5))
