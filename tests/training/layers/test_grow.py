import pytest
import torch
from torch.nn import functional

from training.layers.grow import Unpooled, grow, unpooled

KINDS = ["nearest", "bilinear", "transposed", "shuffle", "unpool"]


def pooled(*shape):
    return functional.max_pool2d(torch.rand(shape), 2, return_indices=True)


@pytest.mark.parametrize("kind", KINDS)
def test_maps_are_twice_as_high_and_wide_and_every_parameter_learns(kind):
    torch.manual_seed(0)
    _, places = pooled(2, 4, 12, 10)
    layer = grow(kind, 6, 4)
    grown = layer(torch.rand(2, 6, 6, 5), places)
    assert grown.shape == (2, 4, 12, 10)
    grown.square().sum().backward()
    assert all(one.grad is not None and one.grad.any() for one in layer.parameters())


def test_unpooling_is_torchs_own():
    values, places = pooled(3, 4, 8, 6)
    expected = functional.max_unpool2d(values, places, 2)
    assert torch.equal(unpooled(values, places), expected)
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
