"""VDSR: a deep stack of 3x3 convolutions that predicts the residual of bicubic upsampling.

Source: Kim et al. 2016, arXiv 1511.04587, section 3.1; initialization: He et al. 2015, arXiv 1502.01852.
Differs from it: one network for each factor, where section 4.3 trains one for all; inputs and outputs are scaled to
unit size (`layers/enlarge.py`).
Axes: B rows, C channels, h and w height and width of the low-resolution image. 664,704 weights and 1,217 biases for one
channel and 20 layers.
"""

from __future__ import annotations

from pydantic import BaseModel, Field
from torch import Tensor, nn

from millstream.tracking.dataset.signature import Signature
from millstream.training.layers.enlarge import completed, enlarged, enlargement


class Config(BaseModel, frozen=True, extra="forbid"):
    layers: int = Field(
        20, ge=2, description="number of convolutions; each widens the receptive field by one pixel on each side"
    )
    channels: int = Field(64, ge=1, description="channels of the hidden layers")


TINY = Config(layers=3, channels=8)


def build(config: Config, signature: Signature) -> nn.Module:
    """Raises BadData unless the target's sides are the same whole multiple of the input's."""
    return VDSR(config, *enlargement(signature, "cnn/vdsr"))


class VDSR(nn.Module):
    """High-resolution images (B, C, factor h, factor w) from low-resolution images (B, C, h, w)."""

    def __init__(self, config: Config, channels: int, factor: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels, config.channels, 3, padding=1), nn.ReLU()]
        for _ in range(config.layers - 2):
            layers += [nn.Conv2d(config.channels, config.channels, 3, padding=1), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Conv2d(config.channels, channels, 3, padding=1))
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        self.factor = factor

    def forward(self, x_BChw: Tensor) -> Tensor:
        large_BCHW = enlarged(x_BChw, self.factor)
        return completed(large_BCHW, self.layers, large_BCHW)
