"""SRCNN: three convolutions over the bicubically upsampled image: patch extraction, mapping and reconstruction.

Source: Dong et al. 2016, arXiv 1501.00092, section 3.1; 9-1-5 as in section 4.1, 9-5-5 as in section 4.3.2.
Differs from it: replicate padding, so that the output is not cropped; torch's default initialization; optionally it
predicts the residual of bicubic upsampling (Kim et al. 2016, arXiv 1511.04587).
Axes: B rows, C channels, h and w height and width of the low-resolution image. 8,032 weights and 97 biases for one
channel.
"""

from __future__ import annotations

from pydantic import BaseModel, Field, field_validator
from torch import Tensor, nn

from millstream.tracking.dataset.signature import Signature
from millstream.training.layers.enlarge import completed, enlarged, enlargement


class Config(BaseModel, frozen=True, extra="forbid"):
    channels: tuple[int, int] = Field((64, 32), description="output channels of the first two convolutions")
    kernels: tuple[int, int, int] = Field(
        (9, 1, 5), description="kernel sizes of the three convolutions, in pixels; odd"
    )
    residual: bool = Field(False, description="whether the convolutions predict the residual of bicubic upsampling")

    @field_validator("kernels")
    @classmethod
    def _odd(cls, kernels: tuple[int, int, int]) -> tuple[int, int, int]:
        if any(kernel < 1 or kernel % 2 == 0 for kernel in kernels):
            raise ValueError(f"{kernels}: only odd kernels have a pixel in their middle")
        return kernels


TINY = Config(channels=(8, 4))


def build(config: Config, signature: Signature) -> nn.Module:
    """Raises BadData unless the target's sides are the same whole multiple of the input's."""
    return SRCNN(config, *enlargement(signature, "cnn/srcnn"))


class SRCNN(nn.Module):
    """High-resolution images (B, C, factor h, factor w) from low-resolution images (B, C, h, w)."""

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
        fine_BCHW: Tensor = self.layers(large_BCHW)
        return fine_BCHW
