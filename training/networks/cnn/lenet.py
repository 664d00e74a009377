"""LeNet-5: two convolutions with pooling, then three fully connected layers.

Source: LeCun et al. 1998, doi:10.1109/5.726791, section II.B.
Differs from it: ReLU and max pooling instead of scaled tanh and learned subsampling, the second convolution is fully
connected to the maps of the first, a linear head instead of radial basis functions, optional norms.
Axes: B rows, C channels, H height, W width, K scores. 61,706 parameters on 1x28x28 with 10 classes, without norms.
"""

from __future__ import annotations

from pydantic import BaseModel, Field
from torch import Tensor, nn

from millstream.tracking.dataset.signature import Signature
from millstream.tracking.errors import BadData
from millstream.training.layers.norm import Norm, norm

KERNEL = 5
SMALLEST = 8


class Config(BaseModel, frozen=True, extra="forbid"):
    channels: tuple[int, int] = Field((6, 16), description="output channels of the two convolutions")
    hidden: tuple[int, int] = Field((120, 84), description="units of the two hidden fully connected layers")
    norm: Norm = Field("none", description="normalization after each convolution: batch, layer or group")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout probability before each hidden fully connected layer")


TINY = Config(channels=(4, 8), hidden=(16, 12))


def build(config: Config, signature: Signature) -> nn.Module:
    """Raises BadData for images under 8x8."""
    shape = signature.single("image").shape
    if min(shape[1:]) < SMALLEST:
        raise BadData.at("network cnn/lenet", f"images of {shape[1:]}; it needs {SMALLEST}x{SMALLEST} at the least")
    return LeNet(config, shape, signature.outputs)


class LeNet(nn.Module):
    """Scores of shape (B, K) for images (B, C, H, W)."""

    def __init__(self, config: Config, shape_CHW: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        channels, height, width = shape_CHW
        first, second = config.channels
        # 28x28 is padded to the paper's 32x32; small images (8x8 digits) are padded at both convolutions
        small = min(height, width) < 2 * (KERNEL + 3)
        self.features = nn.Sequential(
            *_block(channels, first, padding=KERNEL // 2, config=config),
            *_block(first, second, padding=KERNEL // 2 if small else 0, config=config),
            nn.Flatten(),
        )
        rows, columns = (_side(side, small) for side in (height, width))
        self.head = nn.Sequential(
            nn.Dropout(config.dropout),
            nn.Linear(second * rows * columns, config.hidden[0]),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden[0], config.hidden[1]),
            nn.ReLU(),
            nn.Linear(config.hidden[1], outputs),
        )

    def forward(self, x_BCHW: Tensor) -> Tensor:
        scores_BK: Tensor = self.head(self.features(x_BCHW))
        return scores_BK


def _block(inputs: int, outputs: int, *, padding: int, config: Config) -> list[nn.Module]:
    normed = norm(config.norm, outputs, maps=True)
    return [nn.Conv2d(inputs, outputs, KERNEL, padding=padding), *normed, nn.ReLU(), nn.MaxPool2d(2)]


def _side(side: int, small: bool) -> int:
    half = side // 2
    return half // 2 if small else (half - KERNEL + 1) // 2
