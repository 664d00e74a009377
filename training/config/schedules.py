"""Learning-rate schedules and their recipe fields; torch is imported where one is built."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, Field

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler


class Constant(BaseModel, frozen=True, extra="forbid"):
    """Constant learning rate."""

    name: Literal["constant"] = "constant"

    def factor(self, done: float) -> float:
        return 1.0


class Cosine(BaseModel, frozen=True, extra="forbid"):
    """Cosine decay from the full rate to `floor` of it (Loshchilov & Hutter 2017, arXiv 1608.03983)."""

    name: Literal["cosine"]
    floor: float = Field(0.0, ge=0, le=1, description="learning rate at the last step, as a fraction of the initial")

    def factor(self, done: float) -> float:
        return self.floor + (1 - self.floor) * (1 + math.cos(math.pi * done)) / 2


class OneCycle(BaseModel, frozen=True, extra="forbid"):
    """One-cycle: cosine warm-up to the peak rate, cosine decay to `end` (Smith & Topin 2018, arXiv 1708.07120)."""

    name: Literal["onecycle"]
    rise: float = Field(0.3, gt=0, lt=1, description="fraction of the steps before the peak")
    start: float = Field(0.04, gt=0, le=1, description="learning rate at the first step, as a fraction of the peak")
    end: float = Field(1e-4, gt=0, le=1, description="learning rate at the last step, as a fraction of the peak")

    def factor(self, done: float) -> float:
        if done < self.rise:
            return _between(self.start, 1.0, done / self.rise)
        return _between(1.0, self.end, (done - self.rise) / (1 - self.rise))


class Step(BaseModel, frozen=True, extra="forbid"):
    """Multiplies the learning rate by `by` at each of `at`."""

    name: Literal["step"]
    at: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        (0.5, 0.75), description="fractions of the steps at which the learning rate drops: 0.5 is half-way"
    )
    by: float = Field(0.1, gt=0, lt=1, description="factor of the learning rate at each drop")

    def factor(self, done: float) -> float:
        return self.by ** sum(done >= share for share in self.at)


class Plateau(BaseModel, frozen=True, extra="forbid"):
    """Multiplies the learning rate by `by` when `fit.monitor` has not improved for `patience` validations."""

    name: Literal["plateau"]
    by: float = Field(0.1, gt=0, lt=1, description="factor of the learning rate at each drop")
    patience: int = Field(5, ge=1, description="validations in a row without improvement before a drop")
    least: float = Field(0.0, ge=0, description="smallest change of `monitor` that counts as an improvement")
    floor: float = Field(0.0, ge=0, lt=1, description="smallest learning rate, as a fraction of the initial")

    def factor(self, done: float) -> float:
        return 1.0


AnySchedule = Annotated[Constant | Cosine | OneCycle | Step | Plateau, Field(discriminator="name")]


def scheduler(
    optimizer: Optimizer, factor: Callable[[float], float], steps: int, *, warm_up: float = 0.0
) -> LRScheduler:
    """Scheduler that sets each group's rate to its initial rate times `factor(fraction of steps done, in [0, 1])`.

    With `warm_up`, the rate first rises linearly over that fraction of the steps, at least one, and the schedule covers
    the rest.
    """
    from torch.optim.lr_scheduler import LambdaLR

    rise = max(round(warm_up * steps), 1 if warm_up else 0)

    def now(step: int) -> float:
        if step < rise:
            return (step + 1) / (rise + 1)
        return factor(min(1.0, (step - rise) / max(1, steps - rise - 1)))

    return LambdaLR(optimizer, now)


def _between(first: float, last: float, share: float) -> float:
    return last + (first - last) * (1 + math.cos(math.pi * share)) / 2
