import pytest
import torch
from torch import nn

from millstream.training.layers.attention import ChannelsThenPlaces, SelfAttention, SqueezeExcite, attention


def test_squeeze_and_excitation_scales_each_channel_by_what_the_means_say():
    layer, x = SqueezeExcite(32), torch.randn(3, 32, 5, 7)
    first, _, second = layer.weigh
    hidden = (x.sum(dim=(2, 3)) / 35 @ first.weight.T + first.bias).clamp(min=0)
    scale = 1 / (1 + torch.exp(-(hidden @ second.weight.T + second.bias)))
    torch.testing.assert_close(layer(x), torch.einsum("bchw,bc->bchw", x, scale))
    assert first.out_features == 2


def test_cbam_scales_by_two_factors_between_0_and_1_one_of_channels_and_one_of_places():
    layer, x = ChannelsThenPlaces(8), torch.rand(2, 8, 6, 6) + 0.1
    shares = layer(x) / x
    assert ((shares > 0) & (shares < 1)).all()
    # the logarithm of a product of channels and places has no part that belongs to both
    logs = shares.log()
    rest = logs - logs.mean(dim=(2, 3), keepdim=True) - logs.mean(dim=1, keepdim=True)
    torch.testing.assert_close(rest, -logs.mean(dim=(1, 2, 3), keepdim=True).expand_as(rest), rtol=0, atol=1e-5)


def test_self_attention_adds_a_mean_of_places_weighed_by_their_likeness():
    layer, x = SelfAttention(16), torch.randn(2, 16, 3, 4)
    torch.testing.assert_close(layer(x), x)  # it begins as the identity
    nn.init.constant_(layer.share, 0.5)
    query, key, value = (
        torch.einsum("oc,bcn->bno", one.weight[:, :, 0, 0], x.flatten(2))
        for one in (layer.query, layer.key, layer.value)
    )
    alike = torch.softmax(torch.einsum("bnd,bmd->bnm", query, key), dim=2)
    expected = x + 0.5 * torch.einsum("bnm,bmc->bcn", alike, value).reshape(x.shape)
    torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["se", "cbam", "self"])
def test_attention_keeps_the_shape_and_none_is_no_layer(kind):
    (layer,) = attention(kind, 16)
    assert layer(torch.randn(2, 16, 4, 4)).shape == (2, 16, 4, 4)
    assert attention("none", 16) == []
