"""Learning-rate schedules that a recipe can name, each with its own fields."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import BaseModel, Field
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler


class Constant(BaseModel, frozen=True, extra="forbid"):
    """The rate stays as it is."""

    name: Literal["constant"] = "constant"

    def factor(self, done: float) -> float:
        return 1.0


class Cosine(BaseModel, frozen=True, extra="forbid"):
    """Half a cosine from the full rate to `floor` of it (Loshchilov & Hutter 2017, arXiv 1608.03983)."""

    name: Literal["cosine"]
    floor: float = Field(0.0, ge=0, le=1, description="rate at the last step, as a share of the first")

    def factor(self, done: float) -> float:
        return self.floor + (1 - self.floor) * (1 + math.cos(math.pi * done)) / 2


class OneCycle(BaseModel, frozen=True, extra="forbid"):
    """Up to the full rate and down to nearly nothing, both by half a cosine (Smith & Topin 2018, arXiv 1708.07120)."""

    name: Literal["onecycle"]
    rise: float = Field(0.3, gt=0, lt=1, description="share of the steps before the peak")
    start: float = Field(0.04, gt=0, le=1, description="rate at the first step, as a share of the peak")
    end: float = Field(1e-4, gt=0, le=1, description="rate at the last step, as a share of the peak")

    def factor(self, done: float) -> float:
        if done < self.rise:
            return _between(self.start, 1.0, done / self.rise)
        return _between(1.0, self.end, (done - self.rise) / (1 - self.rise))


class Step(BaseModel, frozen=True, extra="forbid"):
    """The rate is multiplied by `by` at each of `at`."""

    name: Literal["step"]
    at: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        (0.5, 0.75), description="shares of the steps at which the rate falls: 0.5 is half way"
    )
    by: float = Field(0.1, gt=0, lt=1, description="what the rate is multiplied by")

    def factor(self, done: float) -> float:
        return self.by ** sum(done >= share for share in self.at)


class Plateau(BaseModel, frozen=True, extra="forbid"):
    """The rate is multiplied by `by` when `fit.monitor` has not become better for a while."""

    name: Literal["plateau"]
    by: float = Field(0.1, gt=0, lt=1, description="what the rate is multiplied by")
    patience: int = Field(5, ge=1, description="looks at valid in a row, none better than the best, before it falls")
    least: float = Field(0.0, ge=0, description="how much better counts as better")
    floor: float = Field(0.0, ge=0, lt=1, description="smallest rate, as a share of the first")

    def factor(self, done: float) -> float:
        return 1.0


AnySchedule = Annotated[Constant | Cosine | OneCycle | Step | Plateau, Field(discriminator="name")]


def scheduler(
    optimizer: Optimizer, factor: Callable[[float], float], steps: int, *, warm_up: float = 0.0
) -> LRScheduler:
    """Multiplies each group's rate by `factor(share of the steps that are done)`, a share in [0, 1], at every step.

    With a warm-up the rate first rises evenly over that share of the steps, at least one, and the schedule has those
    that are left.
    """
    rise = max(round(warm_up * steps), 1 if warm_up else 0)

    def now(step: int) -> float:
        if step < rise:
            return (step + 1) / (rise + 1)
        return factor(min(1.0, (step - rise) / max(1, steps - rise - 1)))

    return LambdaLR(optimizer, now)


def _between(first: float, last: float, share: float) -> float:
    return last + (first - last) * (1 + math.cos(math.pi * share)) / 2
