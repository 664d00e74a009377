import pytest
import torch
from torch.nn import functional

from millstream.training.layers.grow import Unpooled, grow, unpooled

KINDS = ["nearest", "bilinear", "transposed", "shuffle", "unpool"]


def pooled(*shape, factor=2):
    return functional.max_pool2d(torch.rand(shape), factor, return_indices=True)


@pytest.mark.parametrize("factor", [2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_maps_are_higher_and_wider_by_the_factor_and_every_parameter_learns(kind, factor):
    torch.manual_seed(0)
    _, places = pooled(2, 4, 6 * factor, 5 * factor, factor=factor)
    layer = grow(kind, 6, 4, factor)
    grown = layer(torch.rand(2, 6, 6, 5), places)
    assert grown.shape == (2, 4, 6 * factor, 5 * factor)
    grown.square().sum().backward()
    assert all(one.grad is not None and one.grad.any() for one in layer.parameters())


@pytest.mark.parametrize("factor", [2, 3])
def test_unpooling_is_torchs_own(factor):
    values, places = pooled(3, 4, 4 * factor, 3 * factor, factor=factor)
    expected = functional.max_unpool2d(values, places, factor)
    assert torch.equal(unpooled(values, places, factor), expected)
    assert isinstance(grow("unpool", 2, 2), Unpooled)


def test_a_transposed_convolution_writes_each_value_as_a_patch():
    layer, x = grow("transposed", 3, 2), torch.rand(1, 3, 4, 5)
    weight, bias = layer.layers[0].weight, layer.layers[0].bias
    grown = layer(x)
    for row, column in ((0, 0), (3, 4), (2, 1)):
        patch = torch.einsum("c,cdij->dij", x[0, :, row, column], weight) + bias[:, None, None]
        found = grown[0, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
        torch.testing.assert_close(found, patch)


@pytest.mark.parametrize(("kind", "by_torch"), [("nearest", {}), ("bilinear", {"align_corners": False})])
def test_what_is_resized_is_resized_before_its_convolution(kind, by_torch):
    layer, x = grow(kind, 3, 2), torch.rand(2, 3, 4, 5)
    expected = layer.layers[1](functional.interpolate(x, scale_factor=2, mode=kind, **by_torch))
    torch.testing.assert_close(layer(x), expected)
