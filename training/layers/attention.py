"""Attention over feature maps: channel attention, spatial attention and self-attention.

Sources: squeeze-and-excitation: Hu et al. 2018, arXiv 1709.01507, section 3; CBAM: Woo et al. 2018, arXiv 1807.06521,
section 3; self-attention: Wang et al. 2018 (non-local), arXiv 1711.07971, in the form of Zhang et al. 2019, arXiv
1805.08318, equations 1 to 3.
Axes: B rows, C channels, H height, W width, N positions (H W), D channels of queries and keys.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Attention = Literal["none", "se", "cbam", "self"]

REDUCTION = 16
"""Reduction ratio of the hidden layer of channel attention."""
COMPARED = 8
"""Reduction ratio of the channels of queries and keys."""
LEAST_HIDDEN = 2


def attention(kind: Attention, channels: int) -> list[nn.Module]:
    """The layer, if any, for maps (B, C, H, W); it preserves their shape."""
    if kind == "none":
        return []
    layers = {"se": SqueezeExcite, "cbam": ChannelsThenPlaces, "self": SelfAttention}
    return [layers[kind](channels)]


class SqueezeExcite(nn.Module):
    """Squeeze-and-excitation: scales each channel by a function of the means of all channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weigh = _weighing(channels)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        scale_BC = torch.sigmoid(self.weigh(x_BCHW.mean(dim=(2, 3))))
        return x_BCHW * scale_BC[:, :, None, None]


class ChannelsThenPlaces(nn.Module):
    """CBAM: scales channels by means and maxima over positions, then positions by means and maxima over channels."""

    KERNEL = 7

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weigh = _weighing(channels)
        self.look = nn.Conv2d(2, 1, self.KERNEL, padding=self.KERNEL // 2, bias=False)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        scale_BC = torch.sigmoid(self.weigh(x_BCHW.mean(dim=(2, 3))) + self.weigh(x_BCHW.amax(dim=(2, 3))))
        x_BCHW = x_BCHW * scale_BC[:, :, None, None]
        seen_B2HW = torch.stack([x_BCHW.mean(dim=1), x_BCHW.amax(dim=1)], dim=1)
        return x_BCHW * torch.sigmoid(self.look(seen_B2HW))


class SelfAttention(nn.Module):
    """Adds to each position an attention-weighted mean over all positions; initialized to the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        compared = max(1, channels // COMPARED)
        self.query, self.key = (nn.Conv2d(channels, compared, 1, bias=False) for _ in range(2))
        self.value = nn.Conv2d(channels, channels, 1, bias=False)
        self.share = nn.Parameter(torch.zeros(()))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        query_BND, key_BND, value_BNC = (
            layer(x_BCHW).flatten(start_dim=2).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        # scores are not divided by sqrt(D), as in the paper
        mixed_BNC = functional.scaled_dot_product_attention(query_BND, key_BND, value_BNC, scale=1.0)
        return x_BCHW + self.share * mixed_BNC.transpose(1, 2).reshape(x_BCHW.shape)


def _weighing(channels: int) -> nn.Module:
    hidden = max(LEAST_HIDDEN, channels // REDUCTION)
    return nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels))
