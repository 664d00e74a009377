"""Recipe fields of weight averaging; torch is imported where the mean is built."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, Field

if TYPE_CHECKING:
    from torch import nn
    from torch.optim.swa_utils import AveragedModel


class EMA(BaseModel, frozen=True, extra="forbid"):
    """Exponential mean: m <- decay * m + (1 - decay) * w after each step, from the first step's w (Polyak 1992)."""

    name: Literal["ema"]
    decay: float = Field(0.999, gt=0, lt=1, description="decay of the mean per step")

    def of(self, network: nn.Module) -> AveragedModel:
        from torch.optim import swa_utils

        exponential: Any = swa_utils.get_ema_multi_avg_fn  # untyped in torch
        return swa_utils.AveragedModel(network, multi_avg_fn=exponential(self.decay), use_buffers=True)

    def takes(self, done: float, *, ends_epoch: bool) -> bool:
        return True


class SWA(BaseModel, frozen=True, extra="forbid"):
    """Plain mean of the weights at the ends of the last epochs (Izmailov et al. 2018, arXiv 1803.05407).

    Differs from it: batch norm statistics are averaged, not recomputed for the averaged weights.
    """

    name: Literal["swa"]
    start: float = Field(0.75, ge=0, lt=1, description="fraction of the epochs before averaging starts")

    def of(self, network: nn.Module) -> AveragedModel:
        from torch.optim.swa_utils import AveragedModel

        return AveragedModel(network, use_buffers=True)

    def takes(self, done: float, *, ends_epoch: bool) -> bool:
        return ends_epoch and done >= self.start


AnyAverage = Annotated[EMA | SWA, Field(discriminator="name")]
