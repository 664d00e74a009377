"""Variational autoencoder of images, with fully connected encoder and decoder.

Source: Kingma & Welling 2014, arXiv 1312.6114, appendix C.
Axes: B rows, C channels, H height, W width, D hidden units, Z latent dimensions.
"""

from __future__ import annotations

import math
from itertools import pairwise

from pydantic import BaseModel, Field
from torch import Tensor, nn

from millstream.tracking.dataset.signature import Signature


class Config(BaseModel, frozen=True, extra="forbid"):
    latent: int = Field(32, ge=1, description="latent dimension, Z")
    hidden: tuple[int, ...] = Field(
        (400, 400), description="units of the encoder's hidden layers; the decoder has them in reverse order"
    )


TINY = Config(latent=3, hidden=(16,))


def build(config: Config, signature: Signature) -> nn.Module:
    return VAE(config, signature.single("image").shape)


class VAE(nn.Module):
    """`encode` returns the mean and log variance of q(z|x), `decode` the logits of the pixels of p(x|z)."""

    def __init__(self, config: Config, shape_CHW: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape_CHW
        self.latent = config.latent
        pixels = math.prod(shape_CHW)
        self.encoder = nn.Sequential(nn.Flatten(), *_layers((pixels, *config.hidden)))
        self.mean = nn.Linear(config.hidden[-1], config.latent)
        self.log_variance = nn.Linear(config.hidden[-1], config.latent)
        backwards = config.hidden[::-1]
        self.decoder = nn.Sequential(*_layers((config.latent, *backwards)), nn.Linear(backwards[-1], pixels))

    def encode(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        h_BD = self.encoder(x_BCHW)
        return self.mean(h_BD), self.log_variance(h_BD)

    def decode(self, z_BZ: Tensor) -> Tensor:
        """Logits (B, C, H, W) for codes (B, Z)."""
        logits: Tensor = self.decoder(z_BZ).reshape(-1, *self.shape)
        return logits

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Logits (B, C, H, W) of the reconstruction from the mean of q(z|x)."""
        return self.decode(self.encode(x_BCHW)[0])


def _layers(widths: tuple[int, ...]) -> list[nn.Module]:
    return [layer for before, after in pairwise(widths) for layer in (nn.Linear(before, after), nn.ReLU())]
