"""Losses of a classifier for each row: cross-entropy and Brier score."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def cross_entropy(scores_BK: Tensor, target: Tensor, *, smoothing: float = 0.0) -> Tensor:
    """-log softmax(scores)[target], (B,), in nats; of shares (B, K) their mean. `smoothing` mixes in that of all."""
    return functional.cross_entropy(scores_BK, target, reduction="none", label_smoothing=smoothing)


def squared(scores_BK: Tensor, target: Tensor, *, smoothing: float = 0.0) -> Tensor:
    """The sum over classes of (softmax(scores) - share)**2, (B,), from 0 to 2: Brier 1950. With it a network that is
    sure of the wrong class hardly learns, since softmax is flat there."""
    classes = scores_BK.shape[1]
    share_BK = target if target.ndim > 1 else functional.one_hot(target, classes).to(scores_BK)
    share_BK = (1 - smoothing) * share_BK + smoothing / classes
    return (torch.softmax(scores_BK, dim=1) - share_BK).square().sum(dim=1)


LOSSES = {"cross_entropy": cross_entropy, "squared": squared}
