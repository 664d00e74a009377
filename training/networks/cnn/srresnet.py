"""SRResNet: residual blocks over the coarse picture, then growth by pixel shuffle; the generator of SRGAN.

Source: Ledig et al. 2017, arXiv 1609.04802, section 2.1.1 and figure 4.
Differs from it: grows in as many stages as the factor has prime ones (4 is 2 and 2, as in the paper), by any of
`layers/grow.py`; may tell no more than what bicubic enlargement lacks (the idea of Kim et al. 2016, arXiv 1511.04587).
Axes: B rows, C channels, h and w height and width of the coarse picture. 1,549,462 parameters for three channels, 4
times.
"""

from __future__ import annotations

from pydantic import BaseModel, Field
from torch import Tensor, nn

from millstream.tracking.dataset.signature import Signature
from millstream.training.layers.enlarge import completed, enlarged, enlargement
from millstream.training.layers.grow import PlainGrowth, grow


class Config(BaseModel, frozen=True, extra="forbid"):
    blocks: int = Field(16, ge=1, description="residual blocks of two convolutions")
    channels: int = Field(64, ge=1, description="maps of each convolution")
    growth: PlainGrowth = Field("shuffle", description="how the maps grow to the fine picture's size")
    residual: bool = Field(False, description="whether the convolutions tell what bicubic enlargement lacks")


def build(config: Config, signature: Signature) -> nn.Module:
    """Raises BadData where the target is no multiple of the input."""
    return SRResNet(config, *enlargement(signature, "cnn/srresnet"))


class SRResNet(nn.Module):
    """Fine pictures (B, C, factor h, factor w) for coarse ones (B, C, h, w)."""

    def __init__(self, config: Config, channels: int, factor: int) -> None:
        super().__init__()
        maps = config.channels
        self.first = nn.Sequential(nn.Conv2d(channels, maps, 9, padding=4), nn.PReLU())
        self.blocks = nn.Sequential(
            *(Block(maps) for _ in range(config.blocks)), nn.Conv2d(maps, maps, 3, padding=1), nn.BatchNorm2d(maps)
        )
        stages = [nn.Sequential(grow(config.growth, maps, maps, prime), nn.PReLU()) for prime in primes(factor)]
        self.last = nn.Sequential(*stages, nn.Conv2d(maps, channels, 9, padding=4))
        self.factor, self.residual = factor, config.residual

    def forward(self, x_BChw: Tensor) -> Tensor:
        if self.residual:
            return completed(enlarged(x_BChw, self.factor), self._told, x_BChw)
        return self._told(x_BChw)

    def _told(self, x_BChw: Tensor) -> Tensor:
        maps_BDhw = self.first(x_BChw)
        told_BCHW: Tensor = self.last(maps_BDhw + self.blocks(maps_BDhw))
        return told_BCHW


class Block(nn.Module):
    """Maps (B, D, h, w) with what two convolutions find added to them."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(maps, maps, 3, padding=1),
            nn.BatchNorm2d(maps),
            nn.PReLU(),
            nn.Conv2d(maps, maps, 3, padding=1),
            nn.BatchNorm2d(maps),
        )

    def forward(self, x_BDhw: Tensor) -> Tensor:
        added_BDhw: Tensor = x_BDhw + self.branch(x_BDhw)
        return added_BDhw


def primes(number: int) -> list[int]:
    """The prime factors of a number, small ones first, as often as they divide it."""
    found, divisor = [], 2
    while number > 1:
        while number % divisor == 0:
            found.append(divisor)
            number //= divisor
        divisor += 1
    return found
