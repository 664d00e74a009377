"""Per-row losses of a classifier: cross-entropy and Brier score."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def cross_entropy(scores_BK: Tensor, target: Tensor, *, smoothing: float = 0.0) -> Tensor:
    """-log softmax(scores)[target], (B,), in nats; its expectation for soft labels (B, K).

    `smoothing` is the share of a uniform label that is mixed in.
    """
    return functional.cross_entropy(scores_BK, target, reduction="none", label_smoothing=smoothing)


def squared(scores_BK: Tensor, target: Tensor, *, smoothing: float = 0.0) -> Tensor:
    """Sum over classes of (softmax(scores) - label)**2, (B,), in [0, 2]: Brier 1950. Its gradient vanishes for a
    confident wrong prediction, where softmax saturates."""
    classes = scores_BK.shape[1]
    share_BK = target if target.ndim > 1 else functional.one_hot(target, classes).to(scores_BK)
    share_BK = (1 - smoothing) * share_BK + smoothing / classes
    return (torch.softmax(scores_BK, dim=1) - share_BK).square().sum(dim=1)


LOSSES = {"cross_entropy": cross_entropy, "squared": squared}
