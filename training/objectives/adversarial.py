"""Losses of a discriminator and of the generator that it judges, for each row."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def real_loss(logits_B: Tensor, smoothing: float) -> Tensor:
    """-(1 - s) log D(x) - s log(1 - D(x)), (B,)."""
    return functional.binary_cross_entropy_with_logits(
        logits_B, torch.full_like(logits_B, 1 - smoothing), reduction="none"
    )


def made_loss(logits_B: Tensor) -> Tensor:
    """-log(1 - D(G(z))), (B,)."""
    return functional.softplus(logits_B)


def fooling_loss(logits_B: Tensor) -> Tensor:
    """-log D(G(z)), (B,): what the generator makes small."""
    return functional.softplus(-logits_B)
