"""Which mean of the weights becomes the model, as a recipe says it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


class EMA(BaseModel, frozen=True, extra="forbid"):
    """Exponential mean: m <- decay * m + (1 - decay) * w after each step, from the first step's w (Polyak 1992)."""

    name: Literal["ema"]
    decay: float = Field(0.999, gt=0, lt=1, description="share of the mean that stays at each step")

    def of(self, network: nn.Module) -> AveragedModel:
        return AveragedModel(network, multi_avg_fn=_exponential(self.decay), use_buffers=True)

    def takes(self, done: float, *, ends_epoch: bool) -> bool:
        return True


class SWA(BaseModel, frozen=True, extra="forbid"):
    """Plain mean of the weights at the ends of the last epochs (Izmailov et al. 2018, arXiv 1803.05407).

    Differs from it: statistics of batch norms are averaged, not measured again with the mean.
    """

    name: Literal["swa"]
    start: float = Field(0.75, ge=0, lt=1, description="share of the epochs before the first that is taken")

    def of(self, network: nn.Module) -> AveragedModel:
        return AveragedModel(network, use_buffers=True)

    def takes(self, done: float, *, ends_epoch: bool) -> bool:
        return ends_epoch and done >= self.start


_exponential: Any = get_ema_multi_avg_fn  # torch gives it no types


AnyAverage = Annotated[EMA | SWA, Field(discriminator="name")]
