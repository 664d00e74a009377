"""ResNet, and the plain network that the paper compares it with: blocks of two 3x3 convolutions.

Source: He et al. 2015, arXiv 1512.03385: depths 20 to 110 as in section 4.2 (three stages of 16, 32 and 64 channels,
shortcuts without parameters), 18 and 34 as in table 1 (four stages of 64 to 512 channels, 1x1 convolutions where the
shape changes).
Differs from it: 18 and 34 start with one 3x3 convolution and no pooling, for small images. Attention is at the end of
each residual branch, as in Hu et al. 2018, arXiv 1709.01507, figure 3; self-attention once, after the second stage.
Axes: B rows, C channels, H height, W width, K scores. On 3x32x32 with 10 classes: 0.27 million parameters at depth 20,
0.85 at 56.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field
from torch import Tensor, nn
from torch.nn import functional

from millstream.tracking.dataset.signature import Signature
from millstream.tracking.errors import BadData
from millstream.training.layers.attention import Attention, SelfAttention, attention

Depth = Literal[18, 20, 32, 34, 44, 56, 110]

BLOCKS: dict[int, tuple[int, ...]] = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)} | {
    depth: ((depth - 2) // 6,) * 3 for depth in (20, 32, 44, 56, 110)
}
"""Blocks of each stage; every stage after the first halves the resolution and doubles the channels."""
FIRST_MAPS = {3: 16, 4: 64}
"""Channels of the first stage, by the number of stages."""


class Config(BaseModel, frozen=True, extra="forbid"):
    depth: Depth = Field(20, description="layers with weights; 18 and 34 are wider")
    residual: bool = Field(True, description="whether each block adds its input; false is the plain network")
    attention: Attention = Field(
        "none", description="attention over the feature maps: squeeze-and-excitation, CBAM, or self-attention"
    )
    width: float = Field(1.0, gt=0, le=4, description="width multiplier of the paper's channels")


TINY = Config(width=0.25)


def build(config: Config, signature: Signature) -> nn.Module:
    """Raises BadData for images too small for the downsampling stages."""
    shape, least = signature.single("image").shape, 1 << (len(BLOCKS[config.depth]) - 1)
    if min(shape[1:]) < least:
        raise BadData.at("network cnn/resnet", f"images of {shape[1:]}; depth {config.depth} needs {least}x{least}")
    return ResNet(config, shape[0], signature.outputs)


class ResNet(nn.Module):
    """Scores of shape (B, K) for images (B, C, H, W)."""

    def __init__(self, config: Config, channels: int, outputs: int) -> None:
        super().__init__()
        stages = BLOCKS[config.depth]
        maps = max(1, round(FIRST_MAPS[len(stages)] * config.width))
        self.stem = nn.Sequential(*_convolution(channels, maps), nn.ReLU())
        layers: list[nn.Module] = []
        before = maps
        for at, blocks in enumerate(stages):
            after = maps << at
            for block in range(blocks):
                stride = 2 if at and block == 0 else 1
                layers.append(Block(config, before, after, stride, projected=len(stages) > 3))
                before = after
            if config.attention == "self" and at == 1:
                layers.append(SelfAttention(after))
        self.blocks = nn.Sequential(*layers)
        self.head = nn.Linear(before, outputs)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        maps_BCHW = self.blocks(self.stem(x_BCHW))
        scores_BK: Tensor = self.head(maps_BCHW.mean(dim=(2, 3)))
        return scores_BK


class Block(nn.Module):
    """Two convolutions with a shortcut: the identity, or a 1x1 convolution (`projected`)."""

    def __init__(self, config: Config, before: int, after: int, stride: int, *, projected: bool) -> None:
        super().__init__()
        within = [] if config.attention == "self" else attention(config.attention, after)
        self.branch = nn.Sequential(
            *_convolution(before, after, stride=stride), nn.ReLU(), *_convolution(after, after), *within
        )
        changes = before != after or stride > 1
        self.is_residual, self.stride, self.more = config.residual, stride, after - before
        self.project = (
            nn.Sequential(*_convolution(before, after, kernel=1, stride=stride))
            if config.residual and projected and changes
            else None
        )

    def forward(self, x_BCHW: Tensor) -> Tensor:
        y_BCHW: Tensor = self.branch(x_BCHW)
        return functional.relu(y_BCHW + self.shortcut(x_BCHW) if self.is_residual else y_BCHW)

    def shortcut(self, x_BCHW: Tensor) -> Tensor:
        """The input in the shape of the output: projected, or subsampled and zero-padded in channels (option A)."""
        if self.project is not None:
            projected: Tensor = self.project(x_BCHW)
            return projected
        thinned_BCHW = x_BCHW[:, :, :: self.stride, :: self.stride]
        return functional.pad(thinned_BCHW, (0, 0, 0, 0, 0, self.more)) if self.more else thinned_BCHW


def _convolution(before: int, after: int, *, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, bias=False), nn.BatchNorm2d(after)]
