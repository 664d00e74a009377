import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.nn import functional

from millstream.tracking.errors import BadData
from millstream.training.networks.cnn import fcn
from millstream.training.networks.cnn.fcn import Config
from tests.checks import check_network
from tests.training.networks.cnn.test_unet import mask
from tests.training.signatures import image, number, signature


def built(shape=(3, 32, 32), maps=1, **config):
    torch.manual_seed(0)
    return fcn.build(Config(**{"channels": 4, **config}), signature(image(*shape), mask(maps, *shape[1:])))


@pytest.mark.parametrize(("poolings", "fused"), [(5, 2), (5, 1), (5, 0), (1, 0), (3, 2)])
def test_scores_lie_on_the_image_and_every_parameter_learns(poolings, fused):
    network = built(maps=2, poolings=poolings, fused=fused)
    check_network(network, torch.randn(3, 3, 32, 32), shape=(3, 2, 32, 32))


def test_the_stages_have_the_maps_of_the_paper_and_a_score_each_where_finer_ones_are_added():
    network = built(shape=(3, 64, 64), maps=21, channels=64)
    stages = [[one.out_channels for one in stage if isinstance(one, nn.Conv2d)][-1] for stage in network.stages]
    assert stages == [64, 128, 256, 512, 512]  # Simonyan & Zisserman 2015, table 1
    # FCN-8s reads the third, fourth and fifth pooling (figure 3)
    assert [(one.in_channels, one.out_channels) for one in network.scores] == [(256, 21), (512, 21), (512, 21)]


def test_finer_scores_that_say_nothing_leave_the_coarsest_ones_enlarged_smoothly():
    network, x = built(fused=2).eval(), torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        for score in network.scores[:-1]:
            score.weight.zero_()
            score.bias.zero_()
        coarse = x
        for stage in network.stages:
            coarse = stage(coarse)
        coarse = network.scores[-1](coarse)
        by_twos = coarse
        for _ in range(2):
            by_twos = functional.interpolate(by_twos, scale_factor=2.0, mode="bilinear", align_corners=False)
        wanted = functional.interpolate(by_twos, scale_factor=8.0, mode="bilinear", align_corners=False)
        found = network(x)
    assert wanted.std() > 0
    # a transposed convolution takes zeros for what is beyond the edge
    torch.testing.assert_close(found[..., 28:36, 28:36], wanted[..., 28:36, 28:36], rtol=1e-4, atol=1e-5)


def test_a_network_can_be_exported():
    network, x = built().eval(), torch.randn(2, 3, 32, 32)
    exported = torch.export.export(network, (x,), dynamic_shapes=({0: torch.export.Dim("rows", min=1)},)).module()
    more = torch.randn(5, 3, 32, 32)
    torch.testing.assert_close(exported(more), network(more), rtol=1e-4, atol=1e-5)


@pytest.mark.bad_input
def test_what_does_not_fit_is_refused_with_what_it_takes():
    with pytest.raises(BadData, match=r"\(48, 32\).*sides that 32 divides"):
        built(shape=(3, 48, 32))
    with pytest.raises(BadData, match=r"numbers \(number"):
        fcn.build(Config(), signature(number("a"), mask(1, 8, 8)))
    with pytest.raises(ValidationError, match="2 poolings leave 1 finer maps"):
        Config(poolings=2, fused=2)
