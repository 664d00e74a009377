"""Optimizers and learning-rate schedules that a recipe can name, each with its own fields."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, Field
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

Rate = Annotated[float, Field(gt=0, description="learning rate")]


class SGD(BaseModel, frozen=True, extra="forbid"):
    """Stochastic gradient descent with momentum (Sutskever et al. 2013)."""

    name: Literal["sgd"]
    lr: Rate
    momentum: float = Field(0.0, ge=0, lt=1)
    nesterov: bool = False
    weight_decay: float = Field(0.0, ge=0)

    def build(self, parameters: Iterable[nn.Parameter]) -> Optimizer:
        return torch.optim.SGD(parameters, **self.model_dump(exclude={"name"}))


class RMSprop(BaseModel, frozen=True, extra="forbid"):
    """Tieleman & Hinton 2012."""

    name: Literal["rmsprop"]
    lr: Rate = 1e-3
    alpha: float = Field(0.99, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0)

    def build(self, parameters: Iterable[nn.Parameter]) -> Optimizer:
        return torch.optim.RMSprop(parameters, **self.model_dump(exclude={"name"}))


class Adam(BaseModel, frozen=True, extra="forbid"):
    """Kingma & Ba 2015, arXiv 1412.6980."""

    name: Literal["adam"]
    lr: Rate = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = Field(0.0, ge=0, description="L2 penalty, added to the gradient")

    def build(self, parameters: Iterable[nn.Parameter]) -> Optimizer:
        return torch.optim.Adam(parameters, **self.model_dump(exclude={"name"}))


class AdamW(BaseModel, frozen=True, extra="forbid"):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, arXiv 1711.05101)."""

    name: Literal["adamw"]
    lr: Rate = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = Field(0.01, ge=0, description="decay, apart from the gradient")

    def build(self, parameters: Iterable[nn.Parameter]) -> Optimizer:
        return torch.optim.AdamW(parameters, **self.model_dump(exclude={"name"}))


AnyOptimizer = Annotated[SGD | RMSprop | Adam | AdamW, Field(discriminator="name")]


class Constant(BaseModel, frozen=True, extra="forbid"):
    name: Literal["constant"] = "constant"

    def factor(self, done: float) -> float:
        return 1.0


class Cosine(BaseModel, frozen=True, extra="forbid"):
    """Half a cosine from the full rate to `floor` of it (Loshchilov & Hutter 2017, arXiv 1608.03983)."""

    name: Literal["cosine"]
    floor: float = Field(0.0, ge=0, le=1)

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
    at: tuple[float, ...] = Field((0.5, 0.75), description="shares of the steps at which the rate falls")
    by: float = Field(0.1, gt=0, lt=1, description="what the rate is multiplied by")

    def factor(self, done: float) -> float:
        return self.by ** sum(done >= share for share in self.at)


AnySchedule = Annotated[Constant | Cosine | OneCycle | Step, Field(discriminator="name")]


def scheduler(optimizer: Optimizer, factor: Callable[[float], float], steps: int) -> LRScheduler:
    """Multiplies each group's rate by `factor(share of the steps that are done)`, a share in [0, 1], at every step."""
    return LambdaLR(optimizer, lambda step: factor(min(1.0, step / max(1, steps - 1))))


def _between(first: float, last: float, share: float) -> float:
    return last + (first - last) * (1 + math.cos(math.pi * share)) / 2
