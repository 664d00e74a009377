"""Per-row losses of a GAN's discriminator and generator."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def real_loss(logits_B: Tensor, smoothing: float) -> Tensor:
    """Discriminator loss of real images: -(1 - s) log D(x) - s log(1 - D(x)), (B,)."""
    return functional.binary_cross_entropy_with_logits(
        logits_B, torch.full_like(logits_B, 1 - smoothing), reduction="none"
    )


def made_loss(logits_B: Tensor) -> Tensor:
    """Discriminator loss of generated images: -log(1 - D(G(z))), (B,)."""
    return functional.softplus(logits_B)


def fooling_loss(logits_B: Tensor) -> Tensor:
    """Non-saturating generator loss: -log D(G(z)), (B,)."""
    return functional.softplus(-logits_B)
