"""A network of convolutions is what its fields say: sides and parameters by arithmetic, maps by what they have seen."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn

from millstream.tracking.errors import BadData
from millstream.training.networks.cnn import convnet
from tests.training.signatures import image, signature, target


def built(side=24, channels=4, **fields):
    config = convnet.Config(**{"norm": "none", "pool": 1} | fields)
    return convnet.build(config, signature(image(channels, side, side), target(10)))


def convolutions(network):
    return [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]


LAYER = st.fixed_dictionaries(
    {
        "kernel": st.integers(1, 5),
        "stride": st.integers(1, 3),
        "padding": st.integers(0, 3),
        "dilation": st.integers(1, 3),
        "groups": st.sampled_from([1, 2, 4]),
        "pool": st.integers(1, 2),
        "maps": st.sampled_from([4, 8]),
    }
)


@settings(deadline=None)
@given(st.lists(LAYER, min_size=1, max_size=3), st.integers(5, 24), st.sampled_from(["mean", "flat"]))
def test_sides_and_parameters_follow_from_the_fields(layers, side, head):
    fields = {name: tuple(layer[name] for layer in layers) for name in layers[0]}
    sides, weights, before = side, 0, 4
    for layer in layers:  # Dumoulin & Visin 2016, relationship 15
        reach = layer["kernel"] + (layer["kernel"] - 1) * (layer["dilation"] - 1)
        if sides + 2 * layer["padding"] < reach:
            sides = 0
            break
        sides = ((sides + 2 * layer["padding"] - reach) // layer["stride"] + 1) // layer["pool"]
        weights += layer["maps"] * (before // layer["groups"] * layer["kernel"] ** 2 + 1)
        before = layer["maps"]
        if not sides:
            break
    if not sides:
        with pytest.raises(BadData, match="leaves nothing of it"):
            built(side, head=head, **fields)
        return
    network = built(side, head=head, **fields)
    maps = network.features(torch.zeros(2, 4, side, side))
    assert maps.shape == (2, before, sides, sides)
    features = before * (sides**2 if head == "flat" else 1)
    assert sum(one.numel() for one in network.parameters()) == weights + features * 10 + 10
    assert network(torch.zeros(2, 4, side, side)).shape == (2, 10)


@pytest.mark.parametrize("dilation", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_with_padding_same_odd_kernels_keep_the_side(kernel, dilation):
    network = built(16, maps=(4, 4), kernel=kernel, dilation=dilation)
    assert network.features(torch.zeros(1, 4, 16, 16)).shape[2:] == (16, 16)


def seen_by_the_middle(network, side):
    """The pixels and channels that the middle of the first map hangs on."""
    x = torch.ones(1, 4, side, side, requires_grad=True)
    for layer in convolutions(network):
        nn.init.ones_(layer.weight)
    maps = network.features(x)
    maps[0, 0, maps.shape[2] // 2, maps.shape[3] // 2].backward()
    return x.grad[0] != 0


def test_a_dilated_kernel_sees_farther_with_as_many_weights():
    near, far = (seen_by_the_middle(built(25, maps=(4,), dilation=by), 25) for by in (1, 4))
    assert near[0].nonzero().tolist() == [[row, column] for row in (11, 12, 13) for column in (11, 12, 13)]
    assert far[0].nonzero().tolist() == [[row, column] for row in (8, 12, 16) for column in (8, 12, 16)]


def test_groups_do_not_see_each_other():
    seen = seen_by_the_middle(built(25, maps=(8, 8), groups=2), 25)
    assert seen.flatten(1).any(dim=1).tolist() == [True, True, False, False]


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"maps": (8, 8), "kernel": (3,)}, "kernel: 1 numbers for 2 convolutions"),
        ({"maps": (8, 6), "groups": (1, 4)}, "groups: convolution 2: 4 do not divide 8 maps into 6"),
        ({"maps": ()}, "at least 1"),
        ({"stride": 0}, "greater than or equal to 1"),
    ],
)
def test_fields_that_fit_no_network_are_refused(fields, message):
    with pytest.raises(ValidationError, match=message):
        convnet.Config(**fields)


@pytest.mark.bad_input
def test_what_does_not_fit_the_image_is_refused_with_the_convolution():
    with pytest.raises(BadData, match="groups: convolution 1: 3 do not divide 4 channels into 9 maps"):
        built(maps=(9,), groups=3)
    with pytest.raises(BadData, match=r"convolution 2 gets 2x2, .* 5 pixels, stride 1, pool 1; take less stride"):
        built(8, maps=(4, 4), stride=(4, 1), dilation=2, padding=(2, 0))
