"""GAN of images: a generator from noise, and a discriminator of real and generated images.

Source: Goodfellow et al. 2014, arXiv 1406.2661; convolutions as in DCGAN (Radford et al. 2016, arXiv 1511.06434).
Differs from it: nearest-neighbour upsampling before a convolution, against checkerboard artifacts (Odena et al. 2016),
and no batch norm in the discriminator, so that the score of a row does not depend on its batch.
Axes: B rows, Z noise dimensions, C channels, H height, W width.
"""

from __future__ import annotations

from pydantic import BaseModel, Field
from torch import Tensor, nn

from millstream.tracking.dataset.signature import Signature
from millstream.tracking.errors import BadData

SLOPE = 0.2


class Config(BaseModel, frozen=True, extra="forbid"):
    latent: int = Field(64, ge=1, description="noise dimension, Z")
    channels: int = Field(32, ge=1, description="channels at the highest resolution; doubled one level below")
    dropout: float = Field(0.3, ge=0, lt=1, description="dropout probability of the discriminator's maps")


TINY = Config(latent=4, channels=4)


def build(config: Config, signature: Signature) -> nn.Module:
    """Raises BadData for images whose sides are not multiples of 4."""
    shape = signature.single("image").shape
    if shape[1] % 4 or shape[2] % 4:
        raise BadData.at(
            "network generative/gan", f"images of {shape[1:]}; it halves each side twice, so 4 must divide them"
        )
    return GAN(config, shape)


class GAN(nn.Module):
    """`generator`: noise (B, Z) to images (B, C, H, W) in [0, 1]; `discriminator`: images to logits (B,)."""

    def __init__(self, config: Config, shape_CHW: tuple[int, ...]) -> None:
        super().__init__()
        self.latent = config.latent
        channels, height, width = shape_CHW
        few, many = config.channels, 2 * config.channels
        self.generator = nn.Sequential(
            nn.Linear(config.latent, many * (height // 4) * (width // 4)),
            nn.Unflatten(1, (many, height // 4, width // 4)),
            *_up(many, many),
            *_up(many, few),
            nn.Conv2d(few, channels, 3, padding=1),
            nn.Sigmoid(),
        )
        self.discriminator = nn.Sequential(
            nn.Conv2d(channels, few, 4, stride=2, padding=1),
            nn.LeakyReLU(SLOPE),
            nn.Dropout2d(config.dropout),
            nn.Conv2d(few, many, 4, stride=2, padding=1),
            nn.LeakyReLU(SLOPE),
            nn.Dropout2d(config.dropout),
            nn.Flatten(),
            nn.Linear(many * (height // 4) * (width // 4), 1),
            nn.Flatten(0),
        )

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Logits (B,) of the probability that an image is real."""
        logits_B: Tensor = self.discriminator(x_BCHW)
        return logits_B


def _up(inputs: int, outputs: int) -> list[nn.Module]:
    grow = nn.Upsample(scale_factor=2, mode="nearest")
    return [grow, nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]
