import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from millstream.training.layers.image_tiles import mirrored, tiled


def local(radius):
    """Convolutions that look no further than `radius` pixels; beyond the image they see zeros."""
    torch.manual_seed(0)
    layers = [nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.Tanh()) for _ in range(radius)]
    return nn.Sequential(*layers).double()


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 3), st.integers(0, 6))
def test_a_network_that_looks_no_further_than_the_margin_predicts_the_same_tile_by_tile(height, width, radius, more):
    network, image = local(radius), torch.rand(2, 2, height, width, dtype=torch.float64)
    found = tiled(network, image, side=2 * radius + 1 + more, margin=radius)
    down, along = (mirrored(size, radius, size + radius) for size in (height, width))
    whole = network(image[:, :, down][..., along])[:, :, radius:-radius, radius:-radius]
    torch.testing.assert_close(found, whole)


@given(st.integers(2, 20), st.data())
def test_a_line_is_continued_mirrored_as_torch_has_it(size, data):
    before, behind = (data.draw(st.integers(0, size - 1)) for _ in range(2))
    line = torch.arange(float(size))[None]
    expected = functional.pad(line, (before, behind), mode="reflect")[0]
    assert mirrored(size, before, size + behind).tolist() == expected.tolist()


def test_an_image_of_one_pixel_is_mirrored_at_itself():
    assert mirrored(1, 3, 5).tolist() == [0] * 8


@pytest.mark.parametrize("margin", [0, 4])
def test_every_pixel_is_predicted_once(margin):
    seen = torch.zeros(1, 1, 23, 31, dtype=torch.float64).requires_grad_()
    tiled(lambda tile: tile, seen, side=12, margin=margin).sum().backward()
    assert bool((seen.grad == 1).all())
