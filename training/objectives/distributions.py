"""Laws of a number that the outputs of a network are read as, in the units of the scaled target.

Every law is a mixture of normal ones: of one part (gaussian), of several (mixture), or of one for each pass (dropout).
Axes: B rows, P outputs of the network, K parts of a mixture.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import BaseModel, Field
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, Normal
from torch.nn import functional

Law = MixtureSameFamily
HALVINGS = 40
"""Of the bracket of a quantile: it is then as narrow as single precision tells apart."""


class Gaussian(BaseModel, frozen=True, extra="forbid"):
    """A mean and a deviation for each row (Nix & Weigend 1994, doi:10.1109/ICNN.1994.374138).

    Differs from it: the deviation is a softplus, which outliers throw less far than an exponential, above a floor.
    """

    name: Literal["gaussian"]
    floor: float = Field(0.01, gt=0, description="smallest deviation, in those of the scaled target")

    @property
    def outputs(self) -> int:
        return 2

    def law(self, told_BP: Tensor) -> Law:
        mean_BK, spread_BK = told_BP.float().chunk(2, dim=1)
        return law(torch.zeros_like(mean_BK), mean_BK, functional.softplus(spread_BK) + self.floor)


class Mixture(BaseModel, frozen=True, extra="forbid"):
    """Shares, means and deviations of several normal laws for each row (Bishop 1994, NCRG/94/004).

    Differs from it: the deviation as `gaussian` has it.
    """

    name: Literal["mixture"]
    parts: int = Field(5, ge=1, description="normal laws K that are mixed")
    floor: float = Field(0.01, gt=0, description="smallest deviation, in those of the scaled target")

    @property
    def outputs(self) -> int:
        return 3 * self.parts

    def law(self, told_BP: Tensor) -> Law:
        logits_BK, mean_BK, spread_BK = told_BP.float().chunk(3, dim=1)
        return law(logits_BK, mean_BK, functional.softplus(spread_BK) + self.floor)


class Dropout(BaseModel, frozen=True, extra="forbid"):
    """The mean of each pass with units left out, and one precision for all rows (Gal & Ghahramani 2016).

    Source: arXiv 1506.02142, equation 8 of its appendix: log p(y) = logsumexp over passes of log N(y; mean, 1 / tau).
    """

    name: Literal["dropout"]
    precision: float = Field(
        gt=0, description="tau, 1 / variance of the noise in the scaled target; choose it on valid"
    )
    passes: int = Field(100, ge=1, description="draws of the units left out, for every row that is told")

    @property
    def outputs(self) -> int:
        return 1

    def law(self, told_BP: Tensor) -> Law:
        mean_BK = told_BP.float()
        return law(torch.zeros_like(mean_BK), mean_BK, torch.full_like(mean_BK, self.precision**-0.5))


AnyHead = Annotated[Gaussian | Mixture | Dropout, Field(discriminator="name")]


def law(logits_BK: Tensor, mean_BK: Tensor, deviation_BK: Tensor) -> Law:
    """The mixture of K normal laws with the shares softmax(logits)."""
    shares = Categorical(logits=logits_BK, validate_args=False)
    return MixtureSameFamily(shares, Normal(mean_BK, deviation_BK, validate_args=False), validate_args=False)


def quantile(law_B: Law, share: float) -> Tensor:
    """The number (B,) that a row lies under with the chance `share`.

    That of a mixture lies between those of its parts, and is found there by halving.
    """
    parts = law_B.component_distribution
    ends_BK = parts.icdf(torch.full_like(parts.mean, share))
    low_B, high_B = ends_BK.amin(dim=1), ends_BK.amax(dim=1)
    for _ in range(HALVINGS):
        middle_B = (low_B + high_B) / 2
        is_under = law_B.cdf(middle_B) < share  # type: ignore[no-untyped-call]
        low_B, high_B = torch.where(is_under, middle_B, low_B), torch.where(is_under, high_B, middle_B)
    return (low_B + high_B) / 2
