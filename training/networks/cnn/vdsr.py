"""VDSR: many small convolutions that tell what the bicubically enlarged picture lacks.

Source: Kim et al. 2016, arXiv 1511.04587, section 3.1; the weights begin as in He et al. 2015, arXiv 1502.01852.
Differs from it: one network for each factor, where section 4.3 trains one for all; what it reads and tells is brought
to the size of 1 (`layers/enlarge.py`).
Axes: B rows, C channels, h and w height and width of the coarse picture. 664,704 weights and 1,217 biases for one
channel and 20 layers.
"""

from __future__ import annotations

from pydantic import BaseModel, Field
from torch import Tensor, nn

from millstream.tracking.dataset.signature import Signature
from millstream.training.layers.enlarge import completed, enlarged, enlargement


class Config(BaseModel, frozen=True, extra="forbid"):
    layers: int = Field(20, ge=2, description="convolutions on top of each other; each sees one pixel further")
    channels: int = Field(64, ge=1, description="maps between them")


def build(config: Config, signature: Signature) -> nn.Module:
    """Raises BadData where the target is no multiple of the input."""
    return VDSR(config, *enlargement(signature, "cnn/vdsr"))


class VDSR(nn.Module):
    """Fine pictures (B, C, factor h, factor w) for coarse ones (B, C, h, w)."""

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
