"""Output distributions (Gaussian, mixture, Monte Carlo dropout) of a network, in units of the scaled target.

Each is a mixture of normal distributions: of one component (gaussian), of several (mixture), or one per pass (dropout).
Axes: B rows, P outputs of the network, K components of a mixture.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import BaseModel, Field
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, Normal
from torch.nn import functional

Distribution = MixtureSameFamily
HALVINGS = 40
"""Bisection steps for a quantile; they exhaust single precision."""


class Gaussian(BaseModel, frozen=True, extra="forbid"):
    """Normal distribution with a mean and a deviation per row (Nix & Weigend 1994, doi:10.1109/ICNN.1994.374138).

    Differs from it: the deviation is a softplus, more robust to outliers than an exponential, plus a floor.
    """

    name: Literal["gaussian"]
    floor: float = Field(0.01, gt=0, description="minimum standard deviation, in units of the scaled target")

    @property
    def outputs(self) -> int:
        return 2

    def distribution(self, outputs_BP: Tensor) -> Distribution:
        mean_BK, spread_BK = outputs_BP.float().chunk(2, dim=1)
        return mixture(torch.zeros_like(mean_BK), mean_BK, functional.softplus(spread_BK) + self.floor)


class Mixture(BaseModel, frozen=True, extra="forbid"):
    """Mixture density: weights, means and deviations of K normal distributions per row (Bishop 1994, NCRG/94/004).

    Differs from it: the deviation is computed as in `gaussian`.
    """

    name: Literal["mixture"]
    parts: int = Field(5, ge=1, description="mixture components, K")
    floor: float = Field(0.01, gt=0, description="minimum standard deviation, in units of the scaled target")

    @property
    def outputs(self) -> int:
        return 3 * self.parts

    def distribution(self, outputs_BP: Tensor) -> Distribution:
        logits_BK, mean_BK, spread_BK = outputs_BP.float().chunk(3, dim=1)
        return mixture(logits_BK, mean_BK, functional.softplus(spread_BK) + self.floor)


class Dropout(BaseModel, frozen=True, extra="forbid"):
    """Monte Carlo dropout: the mean of each dropout pass, and one precision for all rows (Gal & Ghahramani 2016).

    Source: arXiv 1506.02142, equation 8 of its appendix: log p(y) = logsumexp over passes of log N(y; mean, 1 / tau).
    """

    name: Literal["dropout"]
    precision: float = Field(
        gt=0, description="tau, 1 / noise variance of the scaled target; tune it on the validation split"
    )
    passes: int = Field(100, ge=1, description="dropout passes per prediction")

    @property
    def outputs(self) -> int:
        return 1

    def distribution(self, outputs_BP: Tensor) -> Distribution:
        mean_BK = outputs_BP.float()
        return mixture(torch.zeros_like(mean_BK), mean_BK, torch.full_like(mean_BK, self.precision**-0.5))


AnyHead = Annotated[Gaussian | Mixture | Dropout, Field(discriminator="name")]


def mixture(logits_BK: Tensor, mean_BK: Tensor, deviation_BK: Tensor) -> Distribution:
    """Mixture of K normal distributions with the weights softmax(logits)."""
    shares = Categorical(logits=logits_BK, validate_args=False)
    return MixtureSameFamily(shares, Normal(mean_BK, deviation_BK, validate_args=False), validate_args=False)


def quantile(distribution_B: Distribution, share: float) -> Tensor:
    """Quantile (B,) at the level `share`.

    The quantile of a mixture lies between those of its components, and is found by bisection.
    """
    parts = distribution_B.component_distribution
    ends_BK = parts.icdf(torch.full_like(parts.mean, share))
    low_B, high_B = ends_BK.amin(dim=1), ends_BK.amax(dim=1)
    for _ in range(HALVINGS):
        middle_B = (low_B + high_B) / 2
        is_under = distribution_B.cdf(middle_B) < share  # type: ignore[no-untyped-call]
        low_B, high_B = torch.where(is_under, middle_B, low_B), torch.where(is_under, high_B, middle_B)
    return (low_B + high_B) / 2
