"""Log-likelihoods and KL divergence of a variational autoencoder, in nats."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

SAMPLES_AT_ONCE = 250


def bernoulli(logits: Tensor, x: Tensor) -> Tensor:
    """log p(x) of binary pixels under independent Bernoullis, summed over each row, (B,)."""
    return -functional.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(start_dim=1).sum(dim=1)


def kl_to_normal(mean_BZ: Tensor, log_variance_BZ: Tensor) -> Tensor:
    """KL(N(mean, variance) || N(0, 1)), summed over Z, (B,). Kingma & Welling 2014, appendix B."""
    return 0.5 * (mean_BZ.square() + log_variance_BZ.exp() - 1 - log_variance_BZ).sum(dim=1)


def log_normal(z: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """log N(z; mean, variance), summed over the last axis."""
    return -0.5 * (math.log(2 * math.pi) + log_variance + (z - mean).square() / log_variance.exp()).sum(dim=-1)


def log_likelihood(network: Any, x_1CHW: Tensor, count: int) -> Tensor:
    """log p(x) of one image, estimated from `count` samples of q(z|x): log mean p(x|z) p(z) / q(z|x)."""
    mean_1Z, log_variance_1Z = network.encode(x_1CHW)
    terms = []
    for start in range(0, count, SAMPLES_AT_ONCE):
        size = min(SAMPLES_AT_ONCE, count - start)
        z_SZ = mean_1Z + torch.randn(size, mean_1Z.shape[1], device=mean_1Z.device) * (0.5 * log_variance_1Z).exp()
        likelihood_S = bernoulli(network.decode(z_SZ), x_1CHW.expand(size, *x_1CHW.shape[1:]))
        zero = torch.zeros_like(z_SZ)
        terms.append(likelihood_S + log_normal(z_SZ, zero, zero) - log_normal(z_SZ, mean_1Z, log_variance_1Z))
    return torch.logsumexp(torch.cat(terms), dim=0) - math.log(count)
