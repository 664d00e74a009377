"""Recipe fields of the optimizers; torch is imported where one is built."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import BaseModel, Field, model_validator

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

Rate = Annotated[float, Field(gt=0, description="learning rate")]
Decay = Annotated[float, Field(ge=0, description="L2 penalty on all parameters, added to the gradient")]

Share = Annotated[float, Field(ge=0, lt=1)]


class SGD(BaseModel, frozen=True, extra="forbid"):
    """SGD with classical or Nesterov momentum (Sutskever et al. 2013)."""

    name: Literal["sgd"]
    lr: Rate
    momentum: float = Field(0.0, ge=0, lt=1, description="momentum coefficient")
    nesterov: bool = Field(False, description="Nesterov momentum")
    weight_decay: Decay = 0.0

    @model_validator(mode="after")
    def _nesterov_has_momentum(self) -> Self:
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov: looks along the momentum, and that is 0; set momentum: 0.9")
        return self

    def build(self, parameters: Iterable[nn.Parameter]) -> Optimizer:
        import torch

        return torch.optim.SGD(parameters, **self.model_dump(exclude={"name"}))


class RMSprop(BaseModel, frozen=True, extra="forbid"):
    """Tieleman & Hinton 2012."""

    name: Literal["rmsprop"]
    lr: Rate = 1e-3
    alpha: float = Field(0.99, ge=0, lt=1, description="decay of the mean of squared gradients")
    weight_decay: Decay = 0.0

    def build(self, parameters: Iterable[nn.Parameter]) -> Optimizer:
        import torch

        return torch.optim.RMSprop(parameters, **self.model_dump(exclude={"name"}))


class Adagrad(BaseModel, frozen=True, extra="forbid"):
    """Duchi et al. 2011, jmlr.org/papers/v12/duchi11a."""

    name: Literal["adagrad"]
    lr: Rate = 1e-2
    weight_decay: Decay = 0.0

    def build(self, parameters: Iterable[nn.Parameter]) -> Optimizer:
        import torch

        return torch.optim.Adagrad(parameters, **self.model_dump(exclude={"name"}))


class Adadelta(BaseModel, frozen=True, extra="forbid"):
    """Zeiler 2012, arXiv 1212.5701: the learning rate is a factor on steps of adaptive size."""

    name: Literal["adadelta"]
    lr: Rate = 1.0
    rho: float = Field(0.9, ge=0, lt=1, description="decay of both means of squares (gradients, updates)")
    weight_decay: Decay = 0.0

    def build(self, parameters: Iterable[nn.Parameter]) -> Optimizer:
        import torch

        return torch.optim.Adadelta(parameters, **self.model_dump(exclude={"name"}))


class Adam(BaseModel, frozen=True, extra="forbid"):
    """Kingma & Ba 2015, arXiv 1412.6980."""

    name: Literal["adam"]
    lr: Rate = 1e-3
    betas: tuple[Share, Share] = Field((0.9, 0.999), description="decay of the means of gradient and squared gradient")
    weight_decay: Decay = 0.0

    def build(self, parameters: Iterable[nn.Parameter]) -> Optimizer:
        import torch

        return torch.optim.Adam(parameters, **self.model_dump(exclude={"name"}))


class AdamW(BaseModel, frozen=True, extra="forbid"):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, arXiv 1711.05101)."""

    name: Literal["adamw"]
    lr: Rate = 1e-3
    betas: tuple[Share, Share] = Field((0.9, 0.999), description="decay of the means of gradient and squared gradient")
    weight_decay: float = Field(0.01, ge=0, description="decoupled weight decay")

    def build(self, parameters: Iterable[nn.Parameter]) -> Optimizer:
        import torch

        return torch.optim.AdamW(parameters, **self.model_dump(exclude={"name"}))


class LBFGS(BaseModel, frozen=True, extra="forbid"):
    """Limited-memory BFGS (Liu & Nocedal 1989, doi:10.1007/BF01589116): for few weights and large batches.

    One step evaluates the batch several times, with the same random numbers, and updates the weights in between.
    """

    name: Literal["lbfgs"]
    lr: Rate = 1.0
    iterations: int = Field(20, ge=1, description="maximum iterations per step")
    history: int = Field(10, ge=1, description="updates kept for the curvature estimate")
    line_search: bool = Field(True, description="strong-Wolfe line search; else a fixed step of `lr`")

    def build(self, parameters: Iterable[nn.Parameter]) -> Optimizer:
        import torch

        return torch.optim.LBFGS(
            parameters,
            lr=self.lr,
            max_iter=self.iterations,
            history_size=self.history,
            line_search_fn="strong_wolfe" if self.line_search else None,
        )


AnyOptimizer = Annotated[SGD | RMSprop | Adagrad | Adadelta | Adam | AdamW | LBFGS, Field(discriminator="name")]
