"""One step down the gradient, with all that the fit section says of it.

A step whose loss or gradient is no finite number is not taken: weights and optimizer stay as they were, and what
follows is for `training.callbacks.non_finite_guard` to decide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, get_total_norm

from millstream.training.config.fit import Fit
from millstream.training.config.optimizers import LBFGS
from millstream.training.optimization import rng
from millstream.training.optimization.gradient_reduction import Gradients

Losses = Callable[[], Iterable[Tensor]]
"""Makes the losses whose sum is stepped down, one after the other, so that one graph is in memory at a time."""


class Update(NamedTuple):
    """One step that a task asks for."""

    optimizer: str
    losses: Losses
    loss: str
    """The name under which the loss is reported: `train/loss`."""


class Step(NamedTuple):
    """What came of a step: the loss before it, without penalties, and whether it was taken."""

    loss: Tensor
    norm: Tensor
    """Norm of the gradient, before it was clipped."""
    taken: bool


def descend(optimizer: Any, losses: Losses, gradients: Gradients, fit: Fit) -> Step:
    """One step of `optimizer` down the sum of `losses` and the penalties of `fit`."""
    parameters = [one for group in optimizer.param_groups for one in group["params"]]
    seen: list[Tensor] = []

    def evaluate() -> Tensor:
        optimizer.zero_grad()
        for loss in losses():
            gradients.add(loss, parameters)
        total = gradients.combine(parameters)
        seen.append(total)
        if fit.l1 or fit.l2:
            total = total + penalise(parameters, fit.l1, fit.l2)
        return total

    if isinstance(fit.optimizer, LBFGS):
        return _searched(optimizer, evaluate, seen, parameters)
    evaluate()
    norm = clip_grad_norm_(parameters, fit.clip) if fit.clip else get_total_norm(_gradients(parameters))
    taken = bool(torch.isfinite(seen[0] + norm))
    if taken:
        optimizer.step()
    return Step(seen[0], norm, taken)


@torch.no_grad()
def penalise(parameters: Iterable[nn.Parameter], l1: float, l2: float) -> Tensor:
    """l1 * sum |w| + l2 / 2 * sum w^2 over all weights with two axes or more (neither biases nor norms), whose gradient
    l1 * sign(w) + l2 * w is added to theirs: it is the same on every rank."""
    weights = [one for one in parameters if one.ndim > 1]
    for one in weights:
        slope = l1 * one.sign() + l2 * one
        one.grad = slope if one.grad is None else one.grad.add_(slope)
    costs = [l1 * one.abs().sum() + l2 / 2 * one.square().sum() for one in weights]
    return torch.stack(costs).sum() if costs else torch.zeros(())


def _searched(
    optimizer: Any, evaluate: Callable[[], Tensor], seen: list[Tensor], parameters: list[nn.Parameter]
) -> Step:
    """A step that looks several times: at one and the same function, so each look begins with the same draws.

    It moves the weights in between, so whether it was taken tells whether they are finite after it.
    """

    def again() -> Tensor:
        rng.seed(torch.initial_seed())
        return evaluate()

    optimizer.step(again)
    norm = get_total_norm(_gradients(parameters))
    size = get_total_norm([one.detach() for one in parameters])
    return Step(seen[0], norm, bool(torch.isfinite(seen[0] + size)))


def _gradients(parameters: Iterable[nn.Parameter]) -> list[Tensor]:
    return [one.grad for one in parameters if one.grad is not None]
