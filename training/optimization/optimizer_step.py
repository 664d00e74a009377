"""One optimizer step with the penalties and clipping of the `fit` section.

A step with a non-finite loss or gradient is not taken: weights and optimizer stay unchanged, and
`training.callbacks.non_finite_guard` decides what follows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from millstream.training.config.fit import Fit
from millstream.training.config.optimizers import LBFGS
from millstream.training.optimization import rng
from millstream.training.optimization.flat_steps import FlatSteps
from millstream.training.optimization.gradient_reduction import Gradients

Losses = Callable[[], Iterable[Tensor]]
"""Yields the losses whose sum is minimized, one at a time, so that only one graph is in memory."""


class Update(NamedTuple):
    """One step requested by a task."""

    optimizer: str
    losses: Losses
    loss: str
    """The name under which the loss is logged: `train/loss`."""


class Step(NamedTuple):
    """Result of a step: the loss before it, without penalties, and whether it was taken."""

    loss: Tensor
    norm: Tensor
    """Gradient norm before clipping."""
    taken: bool


def descend(optimizer: Any, losses: Losses, gradients: Gradients, fit: Fit) -> Step:
    """One step of `optimizer` on the sum of `losses` and the penalties of `fit`."""
    parameters = [one for group in optimizer.param_groups for one in group["params"]]
    seen: list[Tensor] = []

    def evaluate() -> Tensor:
        for one in parameters:
            one.grad = None
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
    stepped = (optimizer.flat.gather() if isinstance(optimizer, FlatSteps) else []) or parameters
    norm = _norm(_gradients(stepped))
    if fit.clip:
        clip_grads_with_norm_(stepped, fit.clip, norm)
    taken = math.isfinite(float(seen[0] + norm))
    if taken:
        optimizer.step()
    return Step(seen[0], norm, taken)


@torch.no_grad()
def penalise(parameters: Iterable[nn.Parameter], l1: float, l2: float) -> Tensor:
    """The penalty l1 * sum |w| + l2 / 2 * sum w^2 over all weights with two or more axes (no biases or norms).

    Adds its gradient, l1 * sign(w) + l2 * w, to theirs: it is the same on every rank.
    """
    weights = [one for one in parameters if one.ndim > 1]
    for one in weights:
        slope = l1 * one.sign() + l2 * one
        one.grad = slope if one.grad is None else one.grad.add_(slope)
    costs = [l1 * one.abs().sum() + l2 / 2 * one.square().sum() for one in weights]
    return torch.stack(costs).sum() if costs else torch.zeros(())


def _searched(
    optimizer: Any, evaluate: Callable[[], Tensor], seen: list[Tensor], parameters: list[nn.Parameter]
) -> Step:
    """A step with several evaluations (L-BFGS) of one function, so each is seeded the same.

    It updates the weights in between, so `taken` is whether they are finite afterwards.
    """

    def again() -> Tensor:
        rng.seed(torch.initial_seed())
        return evaluate()

    optimizer.step(again)
    norm = _norm(_gradients(parameters))
    size = _norm([one.detach() for one in parameters])
    return Step(seen[0], norm, math.isfinite(float(seen[0] + size)))


def _gradients(parameters: Iterable[nn.Parameter]) -> list[Tensor]:
    return [one.grad for one in parameters if one.grad is not None]


def _norm(tensors: Sequence[Tensor]) -> Tensor:
    """The norm of all `tensors` as one; of a single one without torch's lists of tensors by device."""
    return torch.linalg.vector_norm(tensors[0]) if len(tensors) == 1 else get_total_norm(tensors)
