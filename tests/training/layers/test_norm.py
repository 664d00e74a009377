import pytest
import torch

from millstream.training.layers.norm import norm


def standard(x, axes):
    """Less the mean, over the deviation, along these axes."""
    return (x - x.mean(axes, keepdim=True)) / (x.var(axes, unbiased=False, keepdim=True) + 1e-5).sqrt()


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("batch", lambda x: standard(x, (0, 2, 3))),
        ("layer", lambda x: standard(x, (1, 2, 3))),
        # 6 channels in 3 groups of 2
        ("group", lambda x: standard(x.reshape(4, 3, 2, 5, 5), (2, 3, 4)).reshape(x.shape)),
    ],
)
def test_a_norm_of_maps_is_over_the_axes_of_its_name(kind, expected):
    x = torch.randn(4, 6, 5, 5) * 3 + 1
    (layer,) = norm(kind, 6, maps=True)
    torch.testing.assert_close(layer(x), expected(x))
    assert layer.weight.shape == layer.bias.shape == (6,)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("batch", lambda x: standard(x, (0,))),
        ("layer", lambda x: standard(x, (1,))),
        ("group", lambda x: standard(x.reshape(9, 4, 2), (2,)).reshape(x.shape)),
    ],
)
def test_a_norm_of_rows_is_over_the_axes_of_its_name(kind, expected):
    # in double precision: of two values that are nearly equal, single precision loses what distinguishes them
    x = torch.randn(9, 8, dtype=torch.float64) * 3 + 1
    (layer,) = norm(kind, 8, maps=False)
    torch.testing.assert_close(layer.double()(x), expected(x))


@pytest.mark.parametrize(("channels", "groups"), [(1, 1), (5, 1), (6, 3), (16, 8), (64, 32), (96, 32), (100, 25)])
def test_groups_are_as_many_as_divide_the_channels_with_two_or_more_each(channels, groups):
    assert norm("group", channels, maps=True)[0].num_groups == groups


def test_none_is_no_layer():
    assert norm("none", 4, maps=True) == []
