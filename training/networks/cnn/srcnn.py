"""SRCNN: three convolutions over the bicubically enlarged picture: patches, a map between them, and back.

Source: Dong et al. 2016, arXiv 1501.00092, section 3.1; 9-1-5 as in section 4.1, 9-5-5 as in section 4.3.2.
Differs from it: beyond the border its last pixels go on, so that the fine picture is whole; weights begin as torch has
them; it may tell no more than what bicubic enlargement lacks (the idea of Kim et al. 2016, arXiv 1511.04587).
Axes: B rows, C channels, h and w height and width of the coarse picture. 8,032 weights and 97 biases for one channel.
"""

from __future__ import annotations

from pydantic import BaseModel, Field, field_validator
from torch import Tensor, nn

from millstream.tracking.dataset.signature import Signature
from millstream.training.layers.enlarge import completed, enlarged, enlargement


class Config(BaseModel, frozen=True, extra="forbid"):
    channels: tuple[int, int] = Field((64, 32), description="maps of the first two convolutions")
    kernels: tuple[int, int, int] = Field((9, 1, 5), description="sides of the three kernels, in pixels; odd")
    residual: bool = Field(False, description="whether the convolutions tell what bicubic enlargement lacks")

    @field_validator("kernels")
    @classmethod
    def _odd(cls, kernels: tuple[int, int, int]) -> tuple[int, int, int]:
        if any(kernel < 1 or kernel % 2 == 0 for kernel in kernels):
            raise ValueError(f"{kernels}: only odd kernels have a pixel in their middle")
        return kernels


def build(config: Config, signature: Signature) -> nn.Module:
    """Raises BadData where the target is no multiple of the input."""
    return SRCNN(config, *enlargement(signature, "cnn/srcnn"))


class SRCNN(nn.Module):
    """Fine pictures (B, C, factor h, factor w) for coarse ones (B, C, h, w)."""

    def __init__(self, config: Config, channels: int, factor: int) -> None:
        super().__init__()
        maps = (channels, *config.channels, channels)
        layers: list[nn.Module] = []
        for before, after, kernel in zip(maps[:-1], maps[1:], config.kernels, strict=True):
            layers += [nn.Conv2d(before, after, kernel, padding=kernel // 2, padding_mode="replicate"), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])
        self.factor, self.residual = factor, config.residual

    def forward(self, x_BChw: Tensor) -> Tensor:
        large_BCHW = enlarged(x_BChw, self.factor)
        if self.residual:
            return completed(large_BCHW, self.layers, large_BCHW)
        told_BCHW: Tensor = self.layers(large_BCHW)
        return told_BCHW
