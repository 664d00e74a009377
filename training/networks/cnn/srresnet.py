"""SRResNet: residual blocks over the low-resolution image, then upsampling by pixel shuffle; the generator of SRGAN.

Source: Ledig et al. 2017, arXiv 1609.04802, section 2.1.1 and figure 4.
Differs from it: one upsampling stage per prime factor (4 is 2 and 2, as in the paper), by any method of
`layers/grow.py`; optionally it predicts the residual of bicubic upsampling (Kim et al. 2016, arXiv 1511.04587).
Axes: B rows, C channels, D maps, h and w height and width of the low-resolution image. 1,549,462 parameters for three
channels at factor 4.
"""

from __future__ import annotations

from pydantic import BaseModel, Field
from torch import Tensor, nn

from millstream.tracking.dataset.signature import Signature
from millstream.training.layers.enlarge import completed, enlarged, enlargement
from millstream.training.layers.grow import PlainGrowth, grow


class Config(BaseModel, frozen=True, extra="forbid"):
    blocks: int = Field(16, ge=1, description="residual blocks of two convolutions")
    channels: int = Field(64, ge=1, description="channels of each convolution")
    growth: PlainGrowth = Field("shuffle", description="upsampling method")
    residual: bool = Field(False, description="whether the convolutions predict the residual of bicubic upsampling")


TINY = Config(blocks=1, channels=8)


def build(config: Config, signature: Signature) -> nn.Module:
    """Raises BadData unless the target's sides are the same whole multiple of the input's."""
    return SRResNet(config, *enlargement(signature, "cnn/srresnet"))


class SRResNet(nn.Module):
    """High-resolution images (B, C, factor h, factor w) from low-resolution images (B, C, h, w)."""

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
            return completed(enlarged(x_BChw, self.factor), self._enlarged, x_BChw)
        return self._enlarged(x_BChw)

    def _enlarged(self, x_BChw: Tensor) -> Tensor:
        maps_BDhw = self.first(x_BChw)
        fine_BCHW: Tensor = self.last(maps_BDhw + self.blocks(maps_BDhw))
        return fine_BCHW


class Block(nn.Module):
    """Residual block of two convolutions over maps (B, D, h, w)."""

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
    """Prime factors of a number with multiplicity, in increasing order."""
    found, divisor = [], 2
    while number > 1:
        while number % divisor == 0:
            found.append(divisor)
            number //= divisor
        divisor += 1
    return found
